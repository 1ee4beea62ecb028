"""conv_residual on a GPU: one kernel that keeps the hidden rows to itself, or two launches of conv1d.

A program of the fused kernel needs whole rows of hidden values, and so streams every weight of the block. One
multiprocessor gets about 110 GB/s: 1.2 us for width 128 in half precision, 2.7 us for 192, 19 us for 512. The hand-off
that is saved costs 1.3 us. With many rows the tensor cores work about as long as the weights take, and the fused kernel
saves the way of the hidden rows through memory as well. All this is arithmetic until a GPU has timed it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .conv1d_triton import BUSY, conv1d_triton, convolve, locate, relu
from .operands import contiguous, interprets_bfloat16, unit_stride

# Beyond this the sums of a tile do not fit into registers.
MAX_WIDTH = 256
# What streams within the time of a hand-off.
SMALL_WEIGHTS = 128 * 1024


@triton.jit(do_not_specialize=["B", "T", "dilation"], do_not_specialize_on_alignment=["lengths"])
def conv_residual_kernel(
    x,
    conv_weight,
    conv_bias,
    out_weight,
    out_bias,
    lengths,
    out,
    B,
    T,
    dilation,
    stride_ct,
    stride_co,
    stride_oo,
    C: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_I: tl.constexpr,
):
    """One program makes whole rows, BLOCK_H hidden values at a time. x and out are contiguous."""
    first_row = tl.program_id(0) * BLOCK_M
    rows = first_row + tl.arange(0, BLOCK_M)
    x += first_row.to(tl.int64) * C
    out += first_row.to(tl.int64) * C
    columns = tl.arange(0, BLOCK_C)
    position, length = locate(rows, lengths, B, T)
    y = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    for first in range(0, C, BLOCK_H):
        hidden_columns = first + tl.arange(0, BLOCK_H)
        hidden = convolve(
            x, conv_weight, position, length, hidden_columns, -dilation, dilation, stride_ct, stride_co,
            3, C, C, True, UPCAST, BLOCK_I,
        )  # fmt: skip
        hidden += tl.load(conv_bias + hidden_columns, mask=hidden_columns < C, other=0.0).to(tl.float32)[None, :]
        weight_tile = tl.load(
            out_weight + columns[:, None] * stride_oo + hidden_columns[None, :],
            mask=(columns < C)[:, None] & (hidden_columns < C)[None, :],
            other=0.0,
        )
        hidden = relu(hidden).to(out.dtype.element_ty)
        if UPCAST:
            hidden, weight_tile = hidden.to(tl.float32), weight_tile.to(tl.float32)
        y = tl.dot(hidden, tl.trans(weight_tile), y, input_precision="ieee")

    inside = (position < length)[:, None]
    real_columns = (columns < C)[None, :]
    cells = tl.arange(0, BLOCK_M)[:, None] * C + columns[None, :]
    y += tl.load(out_bias + columns, mask=columns < C, other=0.0).to(tl.float32)[None, :]
    y += tl.load(x + cells, mask=inside & real_columns, other=0.0).to(tl.float32)
    y = tl.where(inside, y, 0.0)
    tl.store(out + cells, y.to(out.dtype.element_ty), mask=(rows < B * T)[:, None] & real_columns)


def conv_residual_triton(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    dilation: int = 1,
    lengths: Tensor | None = None,
    out: Tensor | None = None,
    hidden: Tensor | None = None,
    fused: bool | None = None,
) -> Tensor:
    """As `conv_residual_ref`, without gradient; precision and strides as in `conv1d_triton`.

    out (B,T,C), contiguous: written and returned. hidden (B,T,C), contiguous: scratch memory of two launches, which
    saves an allocation. fused: one launch or two; None takes what `is_fused` says.
    """
    batch, t, width = x.shape
    if fused is None:
        fused = is_fused(batch * t, width, x.dtype)
    if not fused:
        hidden = conv1d_triton(x, conv_weight, conv_bias, dilation, True, True, lengths=lengths, out=hidden)
        return conv1d_triton(hidden, out_weight[None], out_bias, residual=x, lengths=lengths, out=out)
    if out is None:
        out = x.new_empty(batch, t, width)
    if out.numel() == 0:
        return out
    conv_weight, out_weight = unit_stride(conv_weight), unit_stride(out_weight)
    block_m = choose_rows(batch * t)
    # A power of two that divides the width needs no mask at its end.
    block_h = max(16, min(64, width & -width))
    with torch.cuda.device_of(x):
        conv_residual_kernel[(triton.cdiv(batch * t, block_m),)](
            contiguous(x),
            conv_weight,
            contiguous(conv_bias),
            out_weight,
            contiguous(out_bias),
            contiguous(lengths),
            out,
            batch,
            t,
            dilation,
            *conv_weight.stride()[:2],
            out_weight.stride(0),
            C=width,
            UPCAST=interprets_bfloat16(x),
            BLOCK_M=block_m,
            BLOCK_C=max(16, triton.next_power_of_2(width)),
            BLOCK_H=block_h,
            BLOCK_I=block_h,
            num_warps=8,
            num_stages=4,
            enable_fp_fusion=True,
        )
    return out


def is_fused(rows: int, width: int, dtype: torch.dtype) -> bool:
    """Whether one launch pays: see the head of this file. float32 without tensor cores has no registers to spare."""
    if dtype == torch.float32 or width > MAX_WIDTH:
        return False
    return 4 * width * width * dtype.itemsize <= SMALL_WEIGHTS or rows >= 64 * BUSY


def choose_rows(rows: int) -> int:
    """Rows of a program: the most that keep the GPU busy."""
    return next((block for block in (64, 32) if rows >= block * BUSY), 16)
