"""sequence_attention on a GPU, forward only, for sequences that fit into one program: N up to MAX_TOKENS."""

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_TOKENS = 64


@triton.jit
def sequence_attention_kernel(
    q,
    k,
    v,
    lengths,
    out,
    scale,
    H,
    N,
    stride_qb,
    stride_qh,
    stride_qn,
    stride_kb,
    stride_kh,
    stride_kn,
    stride_vb,
    stride_vh,
    stride_vn,
    MODE: tl.constexpr,
    UPCAST: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program works on one head of one sample; every row of q, k and v is contiguous, out is (B,N,H,Dh)."""
    sample = (tl.program_id(0) // H).to(tl.int64)
    head = tl.program_id(0) % H
    positions = tl.arange(0, BLOCK_N)
    columns = tl.arange(0, BLOCK_D)
    length = N
    if lengths is not None:
        length = tl.load(lengths + sample).to(tl.int32)
    read = (positions[:, None] < length) & (columns[None, :] < DIM)

    rows, columns = positions[:, None], columns[None, :]
    query = tl.load(q + sample * stride_qb + head * stride_qh + rows * stride_qn + columns, mask=read, other=0.0)
    key = tl.load(k + sample * stride_kb + head * stride_kh + rows * stride_kn + columns, mask=read, other=0.0)
    value = tl.load(v + sample * stride_vb + head * stride_vh + rows * stride_vn + columns, mask=read, other=0.0)
    if UPCAST:
        query, key, value = query.to(tl.float32), key.to(tl.float32), value.to(tl.float32)

    score = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    if MODE == "soft_causal":
        score += tl.where(positions[None, :] <= rows, 1.0, 0.0)
    hidden = positions[None, :] >= length
    if MODE == "causal":
        hidden = hidden | (positions[None, :] > rows)
    score = tl.where(hidden, float("-inf"), score)
    weight = tl.exp(score - tl.max(score, axis=1)[:, None])
    total = tl.sum(weight, axis=1)
    attended = tl.dot(weight.to(value.dtype), value, input_precision="ieee") / total[:, None]
    attended = tl.where(rows < length, attended, 0.0)
    tl.store(
        out + ((sample * N + rows) * H + head) * DIM + columns,
        attended.to(out.dtype.element_ty),
        mask=(rows < N) & (columns < DIM),
    )


def sequence_attention_triton(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None, mode: str, out: Tensor | None = None
) -> Tensor:
    """As `sequence_attention_ref` without dropout: no gradient, N at most MAX_TOKENS, any head width.

    float32 is multiplied in float32, half precision on tensor cores with float32 sums. The result (B,H,N,Dh) is a view
    of out (B,N,H,Dh), contiguous, so that joining the heads copies nothing.
    """
    batch, heads, n, dim = q.shape
    if out is None:
        out = torch.empty(batch, n, heads, dim, dtype=q.dtype, device=q.device)
    if out.numel() == 0:
        return out.transpose(1, 2)
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q.detach(), k.detach(), v.detach()))
    with torch.cuda.device_of(q):
        sequence_attention_kernel[(batch * heads,)](
            q,
            k,
            v,
            None if lengths is None else lengths.contiguous(),
            out,
            dim**-0.5,
            heads,
            n,
            *q.stride()[:3],
            *k.stride()[:3],
            *v.stride()[:3],
            MODE=mode,
            # The interpreter, the only one to see tensors of the CPU, reads bfloat16 as integers.
            UPCAST=q.device.type == "cpu" and q.dtype == torch.bfloat16,
            DIM=dim,
            BLOCK_N=max(16, triton.next_power_of_2(n)),
            BLOCK_D=max(16, triton.next_power_of_2(dim)),
            num_warps=4,
            enable_fp_fusion=True,
        )
    return out.transpose(1, 2)
