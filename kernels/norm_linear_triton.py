"""norm_linear on a GPU: the product runs over x as it is; mean and variance of a row come in after it."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .linear_triton import dependent_launch, linear_tile, row_products, unit_stride

# So many values of x may wait in the registers of one program for the end of its product.
HELD = 16384


@triton.jit
def mean_and_rstd(row, inside, IN: tl.constexpr, eps):
    """Of rows (BLOCK_M,BLOCK_I), zero where not inside: mean, and 1 / sqrt(variance + eps), float32."""
    row = row.to(tl.float32)
    mean = tl.sum(row, axis=1) / IN
    distance = tl.where(inside, row - mean[:, None], 0.0)
    return mean, tl.rsqrt(tl.sum(distance * distance, axis=1) / IN + eps)


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
    BLOCK_I: tl.constexpr,
):
    """One program finds the mean and rstd of BLOCK_M rows."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_I)[None, :]
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    row = tl.load(
        x + rows.to(tl.int64)[:, None] * stride_xm + columns, mask=(rows < M)[:, None] & (columns < IN), other=0.0
    )
    mean, rstd = mean_and_rstd(row, columns < IN, IN, eps)
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
    HOLD: tl.constexpr,
    UPCAST: tl.constexpr,
    PDL: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_I: tl.constexpr,
):
    """One program computes BLOCK_O channels of BLOCK_M rows; the programs of the same rows come one after another.

    With HOLD it reads its rows a second time, whole, and writes stats; without, stats are there already.
    """
    channel_blocks = tl.cdiv(OUT, BLOCK_O)
    channel_block = tl.program_id(0) % channel_blocks
    channels = channel_block * BLOCK_O + tl.arange(0, BLOCK_O)
    rows = tl.program_id(0) // channel_blocks * BLOCK_M + tl.arange(0, BLOCK_M)
    inside, written = channels < OUT, rows < M
    if PDL:
        gdc_launch_dependents()
    channel_fold = tl.load(fold + channels, mask=inside, other=0.0)[None, :]
    channel_bias = tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32)[None, :]
    if PDL:
        gdc_wait()
    if HOLD:
        columns = tl.arange(0, BLOCK_I)[None, :]
        # On its way while the product is computed.
        row = tl.load(
            x + rows.to(tl.int64)[:, None] * stride_xm + columns, mask=written[:, None] & (columns < IN), other=0.0
        )
    product = row_products(
        x,
        weight,
        weight_scale,
        rows,
        written,
        channels,
        OUT,
        stride_xm,
        stride_wo,
        IN,
        UPCAST,
        BLOCK_O,
        BLOCK_M,
        BLOCK_K,
    )
    if HOLD:
        mean, rstd = mean_and_rstd(row, columns < IN, IN, eps)
        if channel_block == 0:
            tl.store(stats + rows * 2, mean, mask=written)
            tl.store(stats + rows * 2 + 1, rstd, mask=written)
    else:
        mean = tl.load(stats + rows * 2, mask=written, other=0.0)
        rstd = tl.load(stats + rows * 2 + 1, mask=written, other=0.0)
    y = rstd[:, None] * (product - mean[:, None] * channel_fold) + channel_bias
    if ACTIVATION == "gelu":
        y = 0.5 * y * (1 + tl.erf(y * 0.7071067811865476))
    tl.store(
        out + rows.to(tl.int64)[:, None] * OUT + channels[None, :],
        y.to(out.dtype.element_ty),
        mask=written[:, None] & inside[None, :],
    )


def row_stats_triton(x: Tensor, eps: float, out: Tensor, pdl: bool = False) -> Tensor:
    """x (M,I) -> out (M,2) float32, contiguous: mean and 1 / sqrt(biased variance + eps) of each row."""
    m, i = x.shape
    block_i = triton.next_power_of_2(i)
    block_m = max(1, 4096 // block_i)
    with torch.cuda.device_of(x):
        row_stats_kernel[(triton.cdiv(m, block_m),)](
            x,
            out,
            float(eps),
            m,
            x.stride(0),
            IN=i,
            BLOCK_M=block_m,
            BLOCK_I=block_i,
            num_warps=4,
            **dependent_launch(x, pdl),
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
    pdl: bool = False,
) -> tuple[Tensor, Tensor]:
    """As `norm_linear_ref`; one kernel for few rows, two for many.

    Mean and variance are found in two passes, so that a mean far from zero costs them nothing. The product, of which
    mean * fold is subtracted, is rounded in float32 at its own size: with a mean of n standard deviations y is about n
    times less exact than without. At 30 that is 1e-5 of y, which half precision never shows.

    float32 is multiplied in float32, half precision on tensor cores with float32 sums. float8 weights need sm_89.
    out: y (M,O) and stats (M,2) float32, contiguous: written and returned.
    pdl: programmatic dependent launch where the device has it (sm_90 and later): the kernel starts before its
    predecessor has ended, reads fold and bias, and waits for it before it reads x.
    """
    m, i = x.shape
    o = weight.shape[0]
    if out is None:
        out = torch.empty(m, o, dtype=x.dtype, device=x.device), torch.empty(m, 2, device=x.device)
    if m * o == 0:
        return out
    x, weight = unit_stride(x), unit_stride(weight)
    tile = linear_tile(x, m, o)
    block_i = triton.next_power_of_2(i)
    hold = tile["BLOCK_M"] * block_i <= HELD
    if not hold:
        row_stats_triton(x, eps, out[1], pdl)
    with torch.cuda.device_of(x):
        norm_linear_kernel[(triton.cdiv(o, tile["BLOCK_O"]) * triton.cdiv(m, tile["BLOCK_M"]),)](
            x,
            weight,
            fold.detach().contiguous(),
            bias.detach().contiguous(),
            None if weight_scale is None else weight_scale.contiguous(),
            *out,
            float(eps),
            m,
            o,
            x.stride(0),
            weight.stride(0),
            IN=i,
            ACTIVATION=activation,
            HOLD=hold,
            UPCAST=x.device.type == "cpu" and x.dtype == torch.bfloat16,
            BLOCK_I=block_i,
            **tile,
            **dependent_launch(x, pdl),
            enable_fp_fusion=True,
        )
    return out
