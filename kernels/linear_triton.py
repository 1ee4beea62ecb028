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
# Shared memory for rows of x and weight that are read whole; an A100 has a little more.
WHOLE_BYTES = 160 * 1024
# Columns of a tile of them: no more fit into the tensor memory of sm_100, nor, of 8 bit weights, into registers.
WHOLE_BLOCK_K = 512


def linear_tile(x: Tensor, weight: Tensor, m: int, whole: bool) -> dict[str, int]:
    """Tile and launch options for m rows of x (M,I) times weight (O,I); WHOLE if that is asked for and fits."""
    for tile in TILES_FLOAT32 if x.dtype == torch.float32 else TILES:
        block_o, block_m, block_k, num_warps, num_stages = tile
        if triton.cdiv(weight.shape[0], block_o) * triton.cdiv(m, block_m) >= ENOUGH_PROGRAMS:
            break
    memory = torch.cuda.get_device_properties(x.device).shared_memory_per_block_optin if x.is_cuda else WHOLE_BYTES
    whole_k = max(16, min(WHOLE_BLOCK_K, triton.next_power_of_2(x.shape[1])))
    whole_tiles = triton.cdiv(x.shape[1], whole_k)
    whole = (
        whole
        and x.dtype != torch.float32
        and (block_o + block_m) * whole_tiles * whole_k * x.element_size() <= min(memory, WHOLE_BYTES)
        and (weight.element_size() > 1 or (whole_tiles == 1 and block_m <= 32))
    )
    if whole:
        # Of several products in a row Triton would compute some twice on eight warps.
        block_k, num_warps, num_stages = whole_k, 8 if whole_tiles == 1 else 4, 1
    else:
        num_stages = min(num_stages, memory // ((block_o + block_m) * block_k * x.element_size()))
    return {
        "BLOCK_O": block_o,
        "BLOCK_M": block_m,
        "BLOCK_K": block_k,
        "WHOLE": whole,
        "num_warps": num_warps,
        "num_stages": num_stages,
    }


@triton.jit
def row_starts(source, rows, stride):
    return source + rows.to(tl.int64)[:, None] * stride


@triton.jit
def load_tile(starts, read, first, IN: tl.constexpr, BLOCK_K: tl.constexpr):
    """BLOCK_K columns of some rows; what is not read and what lies beyond IN is zero."""
    columns = first + tl.arange(0, BLOCK_K)[None, :]
    inside = read[:, None]
    if IN % BLOCK_K != 0:
        inside = inside & (columns < IN)
    return tl.load(starts + columns, mask=inside, other=0.0)


@triton.jit
def load_rows(source, rows, read, stride, IN: tl.constexpr, BLOCK_K: tl.constexpr):
    """source[rows] as a tuple of tiles."""
    starts = row_starts(source, rows, stride)
    tiles = ()
    for first in tl.static_range(0, IN, BLOCK_K):
        tiles = tiles + (load_tile(starts, read, first, IN, BLOCK_K),)
    return tiles


@triton.jit
def multiply(x_tile, weight_tile, product, UPCAST: tl.constexpr):
    """product (BLOCK_O,BLOCK_M) + weight_tile @ x_tile.T in float32.

    The weight is the first factor: of that the tensor cores of sm_90 take 64 rows at a time, and may take them from
    registers, where 8 bit are widened; of the second they take as few as 8, and a short sequence has few.
    """
    if UPCAST:
        x_tile = x_tile.to(tl.float32)
    return tl.dot(weight_tile.to(x_tile.dtype), tl.trans(x_tile), product, input_precision="ieee")


@triton.jit
def whole_product(x_tiles, weight_tiles, product, UPCAST: tl.constexpr):
    """product + weight @ x.T of rows that `load_rows` has read."""
    for i in tl.static_range(len(x_tiles)):
        product = multiply(x_tiles[i], weight_tiles[i], product, UPCAST)
    return product


@triton.jit
def streamed_product(
    x,
    weight,
    rows,
    read_rows,
    channels,
    read_channels,
    stride_xm,
    stride_wo,
    product,
    IN: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """product + weight[channels] @ x[rows].T, BLOCK_K columns at a time; what is not read counts as zero.

    The tiles serve the product and nothing else: where one is used for more, its copy in shared memory gets a buffer
    too few and is overwritten while tensor cores still read it (Triton 3.6 and 3.9 for sm_90; `races` of
    benchmarks/compile_gate.py).
    """
    x_starts, weight_starts = row_starts(x, rows, stride_xm), row_starts(weight, channels, stride_wo)
    for first in range(0, IN, BLOCK_K):
        x_tile = load_tile(x_starts, read_rows, first, IN, BLOCK_K)
        weight_tile = load_tile(weight_starts, read_channels, first, IN, BLOCK_K)
        product = multiply(x_tile, weight_tile, product, UPCAST)
    return product
