"""conv1d on a GPU: one matrix product over all taps, whose rows are read from where they lie (implicit GEMM).

A tap is a shift of the rows. Rows of all samples are numbered through, so that tiles are full whatever T is; what a
shift brings in from a neighbour is masked.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .operands import contiguous, interprets_bfloat16, unit_stride


class Tile(NamedTuple):
    """What one program makes, rows x outputs, and how: inputs at a time, warps, tiles in flight."""

    rows: int
    outputs: int
    inputs: int
    warps: int
    stages: int


# Largest first. Few rows make small tiles, so that many programs share the weights; each takes large steps, since it
# waits for one load after the other. float32 is multiplied without tensor cores, which needs more registers.
HALF_TILES = (
    Tile(128, 128, 64, 8, 4),
    Tile(128, 64, 64, 8, 4),
    Tile(64, 64, 64, 4, 4),
    Tile(64, 32, 64, 4, 4),
    Tile(32, 32, 128, 4, 4),
    Tile(16, 32, 128, 2, 4),
    Tile(16, 16, 128, 2, 4),
)
FLOAT32_TILES = (Tile(64, 64, 16, 8, 3), Tile(64, 32, 16, 4, 3), Tile(32, 32, 32, 4, 3), Tile(16, 16, 64, 2, 3))
# Programs that keep most of a GPU busy: an H100 has 132 multiprocessors.
BUSY = 96


def choose_tile(x: Tensor, rows: int, outputs: int) -> Tile:
    """The largest tile that keeps the GPU busy; at most a quarter of its columns may lie beyond the outputs."""
    tiles = FLOAT32_TILES if x.dtype == torch.float32 else HALF_TILES
    tiles = [tile for tile in tiles if padded(outputs, tile.outputs) <= 1.25 * outputs] or [tiles[-1]]
    tile = next((tile for tile in tiles if programs(rows, outputs, tile) >= BUSY), tiles[-1])
    # A power of two that divides the inputs needs no mask at their end.
    inputs = max(16, min(tile.inputs, x.shape[-1] & -x.shape[-1]))
    stages = tile.stages
    if x.is_cuda:
        memory = torch.cuda.get_device_properties(x.device).shared_memory_per_block_optin
        stages = min(stages, memory // ((tile.rows + tile.outputs) * inputs * x.element_size()))
    return tile._replace(inputs=inputs, stages=stages)


def padded(size: int, block: int) -> int:
    return triton.cdiv(size, block) * block


def programs(rows: int, outputs: int, tile: Tile) -> int:
    return triton.cdiv(rows, tile.rows) * triton.cdiv(outputs, tile.outputs)


@triton.jit
def relu(x):
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL).to(x.dtype)


@triton.jit
def locate(rows, lengths, B, T):
    """Numbers of rows of (B,T) -> their positions, and the lengths of their samples: 0 for rows that do not exist."""
    length = tl.where(rows < B * T, T, 0)
    if lengths is not None:
        length = tl.minimum(tl.load(lengths + rows // T, mask=rows < B * T, other=0).to(tl.int32), length)
    return rows % T, length


@triton.jit
def convolve(
    x,
    weight,
    position,
    length,
    outputs,
    shift,
    dilation,
    stride_wt,
    stride_wo,
    TAPS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    RELU: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_I: tl.constexpr,
):
    """x, at the first row of the tile, and weight (TAPS,O,I) -> sums of their products, float32, rows x outputs.

    The first tap reads the row `shift` after its own, each further one `dilation` rows on.
    """
    columns = tl.arange(0, BLOCK_I)[None, :]
    x_rows = x + tl.arange(0, position.shape[0])[:, None] * IN + columns
    weight_rows = weight + outputs[:, None] * stride_wo + columns
    CHUNKS: tl.constexpr = (IN + BLOCK_I - 1) // BLOCK_I
    product = tl.zeros((position.shape[0], outputs.shape[0]), tl.float32)
    for step in range(CHUNKS * TAPS):
        first, tap = step // TAPS * BLOCK_I, step % TAPS
        moved = shift + tap * dilation
        read_x = ((position + moved >= 0) & (position + moved < length))[:, None]
        read_weight = (outputs < OUT)[:, None]
        if IN % BLOCK_I != 0:
            read_x, read_weight = read_x & (first + columns < IN), read_weight & (first + columns < IN)
        # The taps of a chunk read nearly the same rows: .ca keeps them in the L1 cache (Triton 3.6 takes no notice).
        x_tile = tl.load(x_rows + moved * IN + first, mask=read_x, other=0.0, cache_modifier=".ca")
        weight_tile = tl.load(weight_rows + tap * stride_wt + first, mask=read_weight, other=0.0)
        if UPCAST:
            x_tile, weight_tile = x_tile.to(tl.float32), weight_tile.to(tl.float32)
        if RELU:
            x_tile = relu(x_tile)
        product = tl.dot(x_tile, tl.trans(weight_tile), product, input_precision="ieee")
    return product


@triton.jit(do_not_specialize=["B", "T", "dilation"], do_not_specialize_on_alignment=["lengths"])
def conv1d_kernel(
    x,
    weight,
    bias,
    residual,
    lengths,
    out,
    B,
    T,
    dilation,
    stride_wt,
    stride_wo,
    TAPS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    RELU_INPUT: tl.constexpr,
    RELU_OUTPUT: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_I: tl.constexpr,
):
    """One program makes one tile; neighbours share their rows. x, residual and out are contiguous."""
    tiles: tl.constexpr = (OUT + BLOCK_O - 1) // BLOCK_O
    first = tl.program_id(0) // tiles * BLOCK_M
    rows = first + tl.arange(0, BLOCK_M)
    outputs = tl.program_id(0) % tiles * BLOCK_O + tl.arange(0, BLOCK_O)
    position, length = locate(rows, lengths, B, T)
    shift = -(TAPS // 2) * dilation
    y = convolve(
        x + first.to(tl.int64) * IN, weight, position, length, outputs, shift, dilation, stride_wt, stride_wo,
        TAPS, IN, OUT, RELU_INPUT, UPCAST, BLOCK_I,
    )  # fmt: skip

    inside = (position < length)[:, None]
    start = first.to(tl.int64) * OUT
    cells = tl.arange(0, BLOCK_M)[:, None] * OUT + outputs[None, :]
    y += tl.load(bias + outputs, mask=outputs < OUT, other=0.0).to(tl.float32)[None, :]
    if residual is not None:
        y += tl.load(residual + start + cells, mask=inside & (outputs < OUT)[None, :], other=0.0).to(tl.float32)
    if RELU_OUTPUT:
        y = relu(y)
    y = tl.where(inside, y, 0.0)
    tl.store(out + start + cells, y.to(out.dtype.element_ty), mask=(rows < B * T)[:, None] & (outputs < OUT)[None, :])


def conv1d_triton(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    dilation: int = 1,
    relu_input: bool = False,
    relu_output: bool = False,
    residual: Tensor | None = None,
    lengths: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """As `conv1d_ref`, without gradient: half precision on tensor cores, float32 in float32.

    Any strides; x, residual and the inputs of a weight are copied where they are not contiguous. out (B,T,O),
    contiguous, may be `residual` itself: written and returned.
    """
    batch, t, inputs = x.shape
    taps, outputs, _ = weight.shape
    if out is None:
        out = x.new_empty(batch, t, outputs)
    if out.numel() == 0:
        return out
    weight = unit_stride(weight)
    tile = choose_tile(x, batch * t, outputs)
    with torch.cuda.device_of(x):
        conv1d_kernel[(programs(batch * t, outputs, tile),)](
            contiguous(x),
            weight,
            contiguous(bias),
            contiguous(residual),
            contiguous(lengths),
            out,
            batch,
            t,
            dilation,
            *weight.stride()[:2],
            TAPS=taps,
            IN=inputs,
            OUT=outputs,
            RELU_INPUT=relu_input,
            RELU_OUTPUT=relu_output,
            UPCAST=interprets_bfloat16(x),
            BLOCK_M=tile.rows,
            BLOCK_O=tile.outputs,
            BLOCK_I=tile.inputs,
            num_warps=tile.warps,
            num_stages=tile.stages,
            enable_fp_fusion=True,
        )
    return out
