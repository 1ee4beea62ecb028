"""upsample_conv on a GPU: each phase is a convolution of two taps that writes every second row."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .conv1d_triton import choose_tile, convolve, locate, programs
from .operands import contiguous, interprets_bfloat16, unit_stride


@triton.jit(do_not_specialize=["B", "T"], do_not_specialize_on_alignment=["lengths"])
def upsample_conv_kernel(
    x,
    weight,
    bias,
    lengths,
    out,
    B,
    T,
    stride_wp,
    stride_wt,
    stride_wo,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_I: tl.constexpr,
):
    """One program makes one tile of one phase; neighbours share the rows that they read. x and out are contiguous."""
    tiles: tl.constexpr = (OUT + BLOCK_O - 1) // BLOCK_O
    phase = tl.program_id(0) // tiles % 2
    first = tl.program_id(0) // (2 * tiles) * BLOCK_M
    rows = first + tl.arange(0, BLOCK_M)
    outputs = tl.program_id(0) % tiles * BLOCK_O + tl.arange(0, BLOCK_O)
    position, length = locate(rows, lengths, B, T)
    y = convolve(
        x + first.to(tl.int64) * IN, weight + phase * stride_wp, position, length, outputs, phase - 1, 1,
        stride_wt, stride_wo, 2, IN, OUT, False, UPCAST, BLOCK_I,
    )  # fmt: skip
    y += tl.load(bias + outputs, mask=outputs < OUT, other=0.0).to(tl.float32)[None, :]
    y = tl.where((position < length)[:, None], y, 0.0)
    # Row t of a sample makes rows 2t and 2t + 1; counted through all samples it is the same.
    out += 2 * first.to(tl.int64) * OUT
    cells = (2 * tl.arange(0, BLOCK_M) + phase)[:, None] * OUT + outputs[None, :]
    tl.store(out + cells, y.to(out.dtype.element_ty), mask=(rows < B * T)[:, None] & (outputs < OUT)[None, :])


def upsample_conv_triton(
    x: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """As `upsample_conv_ref`, without gradient; precision and strides as in `conv1d_triton`.

    out (B,2T,O), contiguous: written and returned.
    """
    batch, t, inputs = x.shape
    outputs = weight.shape[2]
    if out is None:
        out = x.new_empty(batch, 2 * t, outputs)
    if out.numel() == 0:
        return out
    weight = unit_stride(weight)
    tile = choose_tile(x, 2 * batch * t, outputs)
    with torch.cuda.device_of(x):
        upsample_conv_kernel[(2 * programs(batch * t, outputs, tile),)](
            contiguous(x),
            weight,
            contiguous(bias),
            contiguous(lengths),
            out,
            batch,
            t,
            *weight.stride()[:3],
            IN=inputs,
            OUT=outputs,
            UPCAST=interprets_bfloat16(x),
            BLOCK_M=tile.rows,
            BLOCK_O=tile.outputs,
            BLOCK_I=tile.inputs,
            num_warps=tile.warps,
            num_stages=tile.stages,
            enable_fp_fusion=True,
        )
    return out
