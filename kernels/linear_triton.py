"""What the linear stages share on a GPU: the size of their tiles, and the product of rows with a weight."""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Channels, rows and columns of a tile, its warps, and the stages of its pipeline, from large to small. Few rows wait
# for memory: many columns, many stages. float32 knows no tensor cores: its sums have to stay in registers.
TILES = ((128, 128, 64, 8, 3), (64, 64, 64, 4, 4), (64, 32, 128, 4, 5), (64, 16, 128, 4, 5))
TILES_FLOAT32 = ((64, 64, 32, 8, 3), (32, 32, 32, 4, 3))
# Half of the multiprocessors of an H100: with fewer programs a smaller tile ends earlier, though all load more.
ENOUGH_PROGRAMS = 64


def linear_tile(x: Tensor, m: int, o: int) -> dict[str, int]:
    """Tile and launch options for m rows of x (M,I) times a weight (o,I)."""
    for tile in TILES_FLOAT32 if x.dtype == torch.float32 else TILES:
        block_o, block_m, block_k, num_warps, num_stages = tile
        if triton.cdiv(o, block_o) * triton.cdiv(m, block_m) >= ENOUGH_PROGRAMS:
            break
    if x.is_cuda:
        memory = torch.cuda.get_device_properties(x.device).shared_memory_per_block_optin
        num_stages = min(num_stages, memory // ((block_o + block_m) * block_k * x.element_size()))
    return {
        "BLOCK_O": block_o,
        "BLOCK_M": block_m,
        "BLOCK_K": block_k,
        "num_warps": num_warps,
        "num_stages": num_stages,
    }


def unit_stride(x: Tensor) -> Tensor:
    """x without gradient, its last dimension contiguous."""
    x = x.detach()
    return x if x.stride(-1) == 1 else x.contiguous()


def dependent_launch(x: Tensor, wanted: bool) -> dict[str, bool]:
    """Options of programmatic dependent launch, where the device of x has it."""
    has_it = torch.cuda.get_device_capability(x.device) >= (9, 0) if x.is_cuda else x.device.type != "cpu"
    return {"PDL": wanted and has_it, "launch_pdl": wanted and has_it}


@triton.jit
def row_products(
    x,
    weight,
    weight_scale,
    rows,
    read_rows,
    channels,
    OUT,
    stride_xm,
    stride_wo,
    IN: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """x[rows] @ (weight * weight_scale)[channels].T, (BLOCK_M,BLOCK_O) float32; rows that are not read count as zero.

    The tiles serve the product and nothing else: where one is used for more, its copy in shared memory gets a buffer
    too few and is overwritten while tensor cores still read it (Triton 3.6 and 3.9 for sm_90; `races` of
    benchmarks/compile_gate.py).
    """
    # The weight is the first factor: of that the tensor cores of sm_90 take 64 rows at a time, and may take them from
    # registers, where 8 bit are widened; of the second they take as few as 8, and a short sequence has few.
    product = tl.zeros((BLOCK_O, BLOCK_M), tl.float32)
    x_rows = x + rows.to(tl.int64)[:, None] * stride_xm
    weight_rows = weight + channels.to(tl.int64)[:, None] * stride_wo
    for first in range(0, IN, BLOCK_K):
        columns = first + tl.arange(0, BLOCK_K)[None, :]
        read_x, read_weight = read_rows[:, None], (channels < OUT)[:, None]
        if IN % BLOCK_K != 0:
            read_x, read_weight = read_x & (columns < IN), read_weight & (columns < IN)
        x_tile = tl.load(x_rows + columns, mask=read_x, other=0.0)
        weight_tile = tl.load(weight_rows + columns, mask=read_weight, other=0.0)
        if UPCAST:
            x_tile = x_tile.to(tl.float32)
        product = tl.dot(weight_tile.to(x_tile.dtype), tl.trans(x_tile), product, input_precision="ieee")
    product = tl.trans(product)
    if weight_scale is not None:
        product *= tl.load(weight_scale + channels, mask=channels < OUT, other=0.0)[None, :]
    return product
