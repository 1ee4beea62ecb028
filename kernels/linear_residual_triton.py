"""linear_residual on a GPU: the residual and its norm come in where the product is written."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from .dependent_launch import is_dependent
from .linear_triton import linear_tile, load_rows, streamed_product, whole_product
from .operands import contiguous, interprets_bfloat16, unit_stride


@triton.jit
def linear_residual_kernel(
    x,
    weight,
    bias,
    residual,
    stats,
    scale,
    shift,
    rows,
    weight_scale,
    out,
    R,
    OUT,
    stride_xm,
    stride_wo,
    stride_rm,
    IN: tl.constexpr,
    UPCAST: tl.constexpr,
    PDL: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One program computes BLOCK_O channels of BLOCK_M rows; the programs of the same rows come one after another."""
    channel_blocks = tl.cdiv(OUT, BLOCK_O)
    channels = tl.program_id(0) % channel_blocks * BLOCK_O + tl.arange(0, BLOCK_O)
    out_rows = tl.program_id(0) // channel_blocks * BLOCK_M + tl.arange(0, BLOCK_M)
    inside, written = channels < OUT, out_rows < R
    if PDL:
        gdc_launch_dependents()
    # All that the predecessor does not write, read while it may still run.
    added = tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32)[None, :]
    if stats is not None:
        added += tl.load(shift + channels, mask=inside, other=0.0).to(tl.float32)[None, :]
        channel_scale = tl.load(scale + channels, mask=inside, other=0.0).to(tl.float32)[None, :]
    if WHOLE:
        weight_tiles = load_rows(weight, channels, inside, stride_wo, IN, BLOCK_K)
    if PDL:
        gdc_wait()

    in_rows, read = out_rows, written
    if rows is not None:
        in_rows = tl.load(rows + out_rows, mask=written, other=-1)
        read = in_rows >= 0
    own_values = residual + in_rows.to(tl.int64)[:, None] * stride_rm + channels[None, :]
    EARLY: tl.constexpr = BLOCK_O * BLOCK_M <= 2048
    if EARLY:  # Few enough to be on their way while the product is computed.
        own = tl.load(own_values, mask=read[:, None] & inside[None, :], other=0.0)
    if stats is not None:
        mean = tl.load(stats + in_rows.to(tl.int64) * 2, mask=read, other=0.0)[:, None]
        rstd = tl.load(stats + in_rows.to(tl.int64) * 2 + 1, mask=read, other=0.0)[:, None]
    product = tl.zeros((BLOCK_O, BLOCK_M), tl.float32)
    if WHOLE:
        x_tiles = load_rows(x, in_rows, read, stride_xm, IN, BLOCK_K)
        product = whole_product(x_tiles, weight_tiles, product, UPCAST)
    else:
        product = streamed_product(
            x, weight, in_rows, read, channels, inside, stride_xm, stride_wo, product, IN, UPCAST, BLOCK_K
        )
    y = tl.trans(product)
    if weight_scale is not None:
        y *= tl.load(weight_scale + channels, mask=inside, other=0.0)[None, :]
    if not EARLY:
        own = tl.load(own_values, mask=read[:, None] & inside[None, :], other=0.0)
    own = own.to(tl.float32)
    if stats is not None:
        own = (own - mean) * rstd * channel_scale
    tl.store(
        out + out_rows.to(tl.int64)[:, None] * OUT + channels[None, :],
        (y + own + added).to(out.dtype.element_ty),
        mask=written[:, None] & inside[None, :],
    )


def linear_residual_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor,
    stats: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    rows: Tensor | None = None,
    weight_scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """As `linear_residual_ref`; a negative row gives bias + shift.

    float32 is multiplied in float32, half precision on tensor cores with float32 sums. float8 weights need sm_89.
    out (M or R, O), contiguous, not x; it may be `residual` where rows is None: written and returned.
    """
    pdl, i, o = is_dependent(x), x.shape[1], weight.shape[0]
    r = x.shape[0] if rows is None else rows.shape[0]
    if out is None:
        out = torch.empty(r, o, dtype=x.dtype, device=x.device)
    if r * o == 0:
        return out
    x, weight, residual = unit_stride(x), unit_stride(weight), unit_stride(residual)
    # Reading whole rows pays where it happens before the wait; 8 bit would not fit into registers beside the residual.
    tile = linear_tile(x, weight, r, whole=pdl and weight_scale is None)
    with torch.cuda.device_of(x):
        linear_residual_kernel[(triton.cdiv(o, tile["BLOCK_O"]) * triton.cdiv(r, tile["BLOCK_M"]),)](
            x,
            weight,
            contiguous(bias),
            residual,
            *map(contiguous, (stats, scale, shift, rows, weight_scale)),
            out,
            r,
            o,
            x.stride(0),
            weight.stride(0),
            residual.stride(0),
            IN=i,
            UPCAST=interprets_bfloat16(x),
            **tile,
            PDL=pdl,
            launch_pdl=pdl,
            enable_fp_fusion=True,
        )
    return out
