"""qkv_attention on a GPU: one program takes one head of one sample from x to attended values, L up to WHOLE_TOKENS."""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dependent_launch import is_dependent
from .norm_linear_triton import norm_linear_triton
from .operands import contiguous, interprets_bfloat16
from .sequence_attention_triton import WHOLE_TOKENS, attend, sequence_attention_triton

# Every program reads x and its part of the weights from L2; for more of them that takes longer than to write q, k and v
# and read them again. Two programs on each multiprocessor of an H100; an estimate.
FUSED_PROGRAMS = 264


@triton.jit
def qkv_attention_kernel(
    x,
    weight,
    fold,
    bias,
    lengths,
    attended,
    stats,
    L,
    D,
    eps,
    scale,
    MODE: tl.constexpr,
    UPCAST: tl.constexpr,
    PDL: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_L: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STAGES: tl.constexpr,
):
    """x and attended (B,L,D), weight (3D,D), all contiguous, D = H * DIM; the first head writes stats (B*L,2)."""
    H = D // DIM
    sample = (tl.program_id(0) // H).to(tl.int64)
    head = tl.program_id(0) % H
    rows = tl.arange(0, BLOCK_L)
    columns = tl.arange(0, BLOCK_D)
    depth = tl.arange(0, BLOCK_K)
    inside = columns < DIM
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    length = L
    if lengths is not None:  # on its way while the rows are read, those beyond it too
        length = tl.load(lengths + sample).to(tl.int32)

    x += sample * L * D + rows[:, None] * D + depth[None, :]
    first = head * DIM + columns
    weight += first[:, None] * D + depth[None, :]
    q = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    k = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    v = tl.zeros([BLOCK_L, BLOCK_D], tl.float32)
    mean = tl.zeros([BLOCK_L], tl.float32)
    square = tl.zeros([BLOCK_L], tl.float32)
    for start in tl.range(0, D, BLOCK_K, num_stages=STAGES):
        real = start + depth < D
        read_x = (rows[:, None] < L) & real[None, :]
        read_weight = inside[:, None] & real[None, :]
        tile = tl.load(x + start, mask=read_x, other=0.0)
        query = tl.load(weight + start, mask=read_weight, other=0.0)
        key = tl.load(weight + D * D + start, mask=read_weight, other=0.0)
        value = tl.load(weight + 2 * D * D + start, mask=read_weight, other=0.0)
        if UPCAST:
            tile, query, key = tile.to(tl.float32), query.to(tl.float32), key.to(tl.float32)
            value = value.to(tl.float32)
        q = tl.dot(tile, tl.trans(query), q, input_precision="ieee")
        k = tl.dot(tile, tl.trans(key), k, input_precision="ieee")
        v = tl.dot(tile, tl.trans(value), v, input_precision="ieee")
        if fold is not None:  # mean and squares about it, merged tile by tile (Chan et al. 1979)
            count = tl.minimum(BLOCK_K, D - start)
            # A load of its own, kept apart by its policy: where one copy in shared memory serves the product and this,
            # it gets a buffer too few and is overwritten while tensor cores still read it (Triton 3.6 to 3.9, sm_90).
            wide = tl.load(x + start, mask=read_x, other=0.0, eviction_policy="evict_last").to(tl.float32)
            tile_mean = tl.sum(wide, axis=1) / count
            away = tl.where(real[None, :], wide - tile_mean[:, None], 0.0)
            gap = tile_mean - mean
            mean += gap * (count / (start + count))
            square += tl.sum(away * away, axis=1) + gap * gap * (start * (count / (start + count)))

    if fold is not None:
        rstd = tl.rsqrt(square / D + eps)
        if head == 0:
            row_stats = stats + (sample * L + rows) * 2
            tl.store(row_stats, mean, mask=rows < L)
            tl.store(row_stats + 1, rstd, mask=rows < L)
        fold += first
        q = (q - mean[:, None] * tl.load(fold, mask=inside, other=0.0)[None, :]) * rstd[:, None]
        k = (k - mean[:, None] * tl.load(fold + D, mask=inside, other=0.0)[None, :]) * rstd[:, None]
        v = (v - mean[:, None] * tl.load(fold + 2 * D, mask=inside, other=0.0)[None, :]) * rstd[:, None]
    bias += first
    q += tl.load(bias, mask=inside, other=0.0).to(tl.float32)[None, :]
    k += tl.load(bias + D, mask=inside, other=0.0).to(tl.float32)[None, :]
    v += tl.load(bias + 2 * D, mask=inside, other=0.0).to(tl.float32)[None, :]
    v = tl.where(rows[:, None] < length, v, 0.0)

    operand = tl.float32 if UPCAST else x.dtype.element_ty
    result = attend(q.to(operand), k.to(operand), v.to(operand), rows, rows, length, scale, MODE)
    tl.store(
        attended + (sample * L + rows[:, None]) * D + first[None, :],
        tl.where(rows[:, None] < length, result, 0.0).to(attended.dtype.element_ty),
        mask=(rows[:, None] < L) & inside[None, :],
    )


def qkv_attention_triton(
    x: Tensor,
    weight: Tensor,
    fold: Tensor | None,
    bias: Tensor,
    lengths: Tensor | None,
    mode: str,
    num_heads: int,
    eps: float,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """As `qkv_attention_ref`, any head width; out: attended and stats, contiguous: written and returned.

    One kernel for half precision, L up to WHOLE_TOKENS and heads up to 64 wide and FUSED_PROGRAMS in number, on tensor
    cores with float32 sums; else one for the projection, one for attention. q, k and v are rounded to the type of x.
    """
    pdl, (batch, length, width) = is_dependent(x), x.shape
    if out is None:
        rows = 0 if fold is None else batch * length
        out = torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(rows, 2, dtype=torch.float32)
    attended, stats = out
    if attended.numel() == 0:
        return out
    x, weight, bias = map(contiguous, (x, weight, bias))
    dim = width // num_heads
    # float32 and wide heads would not fit into registers.
    fits = length <= WHOLE_TOKENS and dim <= 64 and x.dtype != torch.float32
    if not fits or batch * num_heads > FUSED_PROGRAMS:
        _in_two_kernels(x, weight, fold, bias, lengths, mode, (batch, length, num_heads, dim), eps, out)
        return out
    block_l = max(16, triton.next_power_of_2(length))
    with torch.cuda.device_of(x):
        qkv_attention_kernel[(batch * num_heads,)](
            x,
            weight,
            contiguous(fold),
            bias,
            contiguous(lengths),
            attended,
            stats,
            length,
            width,
            float(eps),
            dim**-0.5,
            MODE=mode,
            UPCAST=interprets_bfloat16(x),
            PDL=pdl,
            DIM=dim,
            BLOCK_L=block_l,
            BLOCK_D=max(16, triton.next_power_of_2(dim)),
            # 128 bytes of each row at once, three times under way: two programs fit on a multiprocessor of an H100.
            BLOCK_K=64,
            STAGES=3,
            num_warps=8 if block_l == 64 else 4,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out


def _in_two_kernels(
    x: Tensor,
    weight: Tensor,
    fold: Tensor | None,
    bias: Tensor,
    lengths: Tensor | None,
    mode: str,
    heads: tuple[int, int, int, int],
    eps: float,
    out: tuple[Tensor, Tensor],
) -> None:
    attended, stats = out
    if fold is None:
        qkv = F.linear(x, weight, bias.to(x.dtype))
    else:
        qkv = x.new_empty(*x.shape[:2], weight.shape[0])
        rows = x.flatten(0, 1), qkv.flatten(0, 1)
        norm_linear_triton(rows[0], weight, fold, bias, "none", eps, out=(rows[1], stats))
    q, k, v = qkv.unflatten(-1, (3, *heads[2:])).permute(2, 0, 3, 1, 4)
    sequence_attention_triton(q, k, v, lengths, mode, out=attended.view(heads))
