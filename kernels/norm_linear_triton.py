"""norm_linear on a GPU: the product takes x as it is; mean and variance of its rows come in after it."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dependent_launch import is_dependent
from .linear_triton import linear_tile, load_rows, streamed_product, whole_product
from .operands import contiguous, interprets_bfloat16, unit_stride


@triton.jit
def mean_and_rstd(tiles, eps, IN: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr):
    """Of rows that `load_rows` has read: mean, and 1 / sqrt(variance + eps), float32."""
    total = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
    for i in tl.static_range(len(tiles)):
        total += tiles[i].to(tl.float32)
    mean = tl.sum(total, axis=1) / IN
    squares = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
    for i in tl.static_range(len(tiles)):
        distance = tiles[i].to(tl.float32) - mean[:, None]
        if (i + 1) * BLOCK_K > IN:
            distance = tl.where((i * BLOCK_K + tl.arange(0, BLOCK_K) < IN)[None, :], distance, 0.0)
        squares += distance * distance
    return mean, tl.rsqrt(tl.sum(squares, axis=1) / IN + eps)


@triton.jit
def row_stats_kernel(
    x,
    stats,
    eps,
    M,
    stride_xm,
    IN: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One program finds the mean and rstd of BLOCK_M rows."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    tiles = load_rows(x, rows, rows < M, stride_xm, IN, BLOCK_K)
    mean, rstd = mean_and_rstd(tiles, eps, IN, BLOCK_M, BLOCK_K)
    tl.store(stats + rows * 2, mean, mask=rows < M)
    tl.store(stats + rows * 2 + 1, rstd, mask=rows < M)


@triton.jit
def norm_linear_kernel(
    x,
    weight,
    fold,
    bias,
    weight_scale,
    out,
    stats,
    eps,
    M,
    OUT,
    stride_xm,
    stride_wo,
    IN: tl.constexpr,
    ACTIVATION: tl.constexpr,
    UPCAST: tl.constexpr,
    PDL: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One program computes BLOCK_O channels of BLOCK_M rows; the programs of the same rows come one after another.

    With WHOLE it finds stats, in rows that it reads whole; without, stats are there already.
    """
    channel_blocks = tl.cdiv(OUT, BLOCK_O)
    channel_block = tl.program_id(0) % channel_blocks
    channels = channel_block * BLOCK_O + tl.arange(0, BLOCK_O)
    rows = tl.program_id(0) // channel_blocks * BLOCK_M + tl.arange(0, BLOCK_M)
    inside, written = channels < OUT, rows < M
    if PDL:
        gdc_launch_dependents()
    # All that the predecessor does not write, read while it may still run.
    channel_fold = tl.load(fold + channels, mask=inside, other=0.0)[None, :]
    channel_bias = tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32)[None, :]
    if WHOLE:
        weight_tiles = load_rows(weight, channels, inside, stride_wo, IN, BLOCK_K)
    if PDL:
        gdc_wait()

    product = tl.zeros((BLOCK_O, BLOCK_M), tl.float32)
    if WHOLE:
        x_tiles = load_rows(x, rows, written, stride_xm, IN, BLOCK_K)
        product = whole_product(x_tiles, weight_tiles, product, UPCAST)
        mean, rstd = mean_and_rstd(x_tiles, eps, IN, BLOCK_M, BLOCK_K)
        if channel_block == 0:
            tl.store(stats + rows * 2, mean, mask=written)
            tl.store(stats + rows * 2 + 1, rstd, mask=written)
    else:
        product = streamed_product(
            x, weight, rows, written, channels, inside, stride_xm, stride_wo, product, IN, UPCAST, BLOCK_K
        )
        mean = tl.load(stats + rows * 2, mask=written, other=0.0)
        rstd = tl.load(stats + rows * 2 + 1, mask=written, other=0.0)
    y = tl.trans(product)
    if weight_scale is not None:
        y *= tl.load(weight_scale + channels, mask=inside, other=0.0)[None, :]
    y = rstd[:, None] * (y - mean[:, None] * channel_fold) + channel_bias
    if ACTIVATION == "gelu":
        y = 0.5 * y * (1 + tl.erf(y * 0.7071067811865476))
    tl.store(
        out + rows.to(tl.int64)[:, None] * OUT + channels[None, :],
        y.to(out.dtype.element_ty),
        mask=written[:, None] & inside[None, :],
    )


def row_stats_triton(x: Tensor, eps: float, out: Tensor) -> Tensor:
    """x (M,I) -> out (M,2) float32, contiguous: mean and 1 / sqrt(biased variance + eps) of each row."""
    pdl, (m, i) = is_dependent(x), x.shape
    with torch.cuda.device_of(x):
        row_stats_kernel[(triton.cdiv(m, 8),)](
            x,
            out,
            float(eps),
            m,
            x.stride(0),
            IN=i,
            BLOCK_M=8,
            BLOCK_K=128,
            num_warps=4,
            PDL=pdl,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out


def norm_linear_triton(
    x: Tensor,
    weight: Tensor,
    fold: Tensor,
    bias: Tensor,
    activation: str,
    eps: float,
    weight_scale: Tensor | None = None,
    out: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """As `norm_linear_ref`; one kernel for few rows, two for many.

    Mean and variance are found in two passes, so that a mean far from zero costs them nothing. The product, of which
    mean * fold is subtracted, is rounded in float32 at its own size: with a mean of n standard deviations y is about n
    times less exact than without. At 30 that is 1e-5 of y, which half precision never shows.

    float32 is multiplied in float32, half precision on tensor cores with float32 sums. float8 weights need sm_89.
    out: y (M,O) and stats (M,2) float32, contiguous: written and returned.
    """
    pdl, (m, i) = is_dependent(x), x.shape
    o = weight.shape[0]
    if out is None:
        out = torch.empty(m, o, dtype=x.dtype, device=x.device), torch.empty(m, 2, device=x.device)
    if m * o == 0:
        return out
    x, weight = unit_stride(x), unit_stride(weight)
    tile = linear_tile(x, weight, m, whole=True)
    if not tile["WHOLE"]:
        row_stats_triton(x, eps, out[1])
    with torch.cuda.device_of(x):
        norm_linear_kernel[(triton.cdiv(o, tile["BLOCK_O"]) * triton.cdiv(m, tile["BLOCK_M"]),)](
            x,
            weight,
            *map(contiguous, (fold, bias, weight_scale)),
            *out,
            float(eps),
            m,
            o,
            x.stride(0),
            weight.stride(0),
            IN=i,
            ACTIVATION=activation,
            UPCAST=interprets_bfloat16(x),
            **tile,
            PDL=pdl,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out
