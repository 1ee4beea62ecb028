"""sequence_attention on a GPU, forward only: one program for a short sequence, tiles with a running softmax beyond."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dependent_launch import is_dependent
from .operands import contiguous, interprets_bfloat16, unit_stride

WHOLE_TOKENS = 64


@triton.jit
def masked_scores(query, key, places, positions, length, scale, MODE: tl.constexpr):
    """Scores of queries at `places` with keys at `positions`, float32; -inf where a key is hidden."""
    score = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    places, positions = places[:, None], positions[None, :]
    if MODE == "soft_causal":
        score += tl.where(positions <= places, 1.0, 0.0)
    hidden = positions >= length
    if MODE == "causal":
        hidden = hidden | (positions > places)
    return tl.where(hidden, float("-inf"), score)


@triton.jit
def attend(query, key, value, places, positions, length, scale, MODE: tl.constexpr):
    """softmax(scores) value, float32, where all keys are at hand."""
    score = masked_scores(query, key, places, positions, length, scale, MODE)
    weight = tl.exp(score - tl.max(score, axis=1)[:, None])
    total = tl.sum(weight, axis=1)
    return tl.dot(weight.to(value.dtype), value, input_precision="ieee") / total[:, None]


@triton.jit
def sequence_attention_kernel(
    q,
    k,
    v,
    lengths,
    out,
    scale,
    H,
    M,
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
    PADDED_QUERIES: tl.constexpr,
    UPCAST: tl.constexpr,
    PDL: tl.constexpr,
    WHOLE: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program works on BLOCK_M queries of one head of one sample; WHOLE: BLOCK_N keys are all there are.

    Every row of q, k and v is contiguous, out is (B,M,H,Dh).
    """
    sample = (tl.program_id(0) // H).to(tl.int64)
    head = tl.program_id(0) % H
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_D)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    length = N
    if lengths is not None:
        length = tl.load(lengths + sample).to(tl.int32)
    last_row = length if PADDED_QUERIES else M
    places = rows + (N - M)

    q += sample * stride_qb + head * stride_qh
    k += sample * stride_kb + head * stride_kh + columns[None, :]
    v += sample * stride_vb + head * stride_vh + columns[None, :]
    inside = columns[None, :] < DIM
    query = tl.load(q + rows[:, None] * stride_qn + columns[None, :], mask=(rows[:, None] < M) & inside, other=0.0)
    if UPCAST:
        query = query.to(tl.float32)

    if WHOLE:
        positions = tl.arange(0, BLOCK_N)
        # What lies beyond the length is read too: loads need not wait for it.
        read = (positions[:, None] < N) & inside
        key = tl.load(k + positions[:, None] * stride_kn, mask=read, other=0.0).to(query.dtype)
        value = tl.load(v + positions[:, None] * stride_vn, mask=read, other=0.0).to(query.dtype)
        value = tl.where(positions[:, None] < length, value, 0.0)
        attended = attend(query, key, value, places, positions, length, scale, MODE)
    else:
        top = tl.full([BLOCK_M], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK_M], tl.float32)
        attended = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
        stop = length
        if MODE == "causal":
            stop = tl.minimum(stop, (tl.program_id(1) + 1) * BLOCK_M + (N - M))
        for start in range(0, stop, BLOCK_N):
            positions = start + tl.arange(0, BLOCK_N)
            read = (positions[:, None] < length) & inside
            key = tl.load(k + positions[:, None] * stride_kn, mask=read, other=0.0).to(query.dtype)
            value = tl.load(v + positions[:, None] * stride_vn, mask=read, other=0.0).to(query.dtype)
            score = masked_scores(query, key, places, positions, length, scale, MODE)
            new_top = tl.maximum(top, tl.max(score, axis=1))
            weight = tl.exp(score - new_top[:, None])
            shrink = tl.exp(top - new_top)
            total = total * shrink + tl.sum(weight, axis=1)
            attended *= shrink[:, None]
            attended = tl.dot(weight.to(value.dtype), value, attended, input_precision="ieee")
            top = new_top
        attended /= total[:, None]

    attended = tl.where(rows[:, None] < last_row, attended, 0.0)
    tl.store(
        out + ((sample * M + rows[:, None]) * H + head) * DIM + columns[None, :],
        attended.to(out.dtype.element_ty),
        mask=(rows[:, None] < M) & inside,
    )


def sequence_attention_triton(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor | None,
    mode: str,
    dropout: float = 0.0,
    padded_queries: bool = True,
    out: Tensor | None = None,
) -> Tensor:
    """As `sequence_attention_ref` with a dropout of 0, the only one there is: no gradient, any length, any head width.

    float32 is multiplied in float32, half precision on tensor cores with float32 sums. The result (B,H,M,Dh) is a view
    of out (B,M,H,Dh), contiguous, so that joining the heads copies nothing.
    """
    pdl, (batch, heads, m, dim) = is_dependent(q), q.shape
    n = k.shape[2]
    if out is None:
        out = torch.empty(batch, m, heads, dim, dtype=q.dtype, device=q.device)
    if out.numel() == 0:
        return out.transpose(1, 2)
    q, k, v = map(unit_stride, (q, k, v))
    # Products of float32 keep their operands in registers: small tiles for many warps; a short sequence takes several.
    tile, num_warps = (32, 8) if q.dtype == torch.float32 else (WHOLE_TOKENS, 4)
    block_m = min(tile, max(16, triton.next_power_of_2(m)))
    block_n = min(tile, max(16, triton.next_power_of_2(n)))
    with torch.cuda.device_of(q):
        sequence_attention_kernel[(batch * heads, triton.cdiv(m, block_m))](
            q,
            k,
            v,
            contiguous(lengths),
            out,
            dim**-0.5,
            heads,
            m,
            n,
            *q.stride()[:3],
            *k.stride()[:3],
            *v.stride()[:3],
            MODE=mode,
            PADDED_QUERIES=padded_queries and lengths is not None,
            UPCAST=interprets_bfloat16(q),
            PDL=pdl,
            WHOLE=n <= block_n,
            DIM=dim,
            BLOCK_M=block_m,
            BLOCK_N=block_n,
            BLOCK_D=max(16, triton.next_power_of_2(dim)),
            num_warps=num_warps,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out.transpose(1, 2)
