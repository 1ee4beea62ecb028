"""codebook_lookup on a GPU: distances and their argmin in one pass; the (M,K) matrix of distances is never stored."""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .codebook_lookup import check_precision
from .operands import contiguous

FEW_ROWS = 256
# Two programs for each multiprocessor of an H100: with fewer blocks of rows, the codes are shared out too.
PROGRAMS = 264


@triton.jit
def round_to_tf32(x):
    """float32 x rounded to the 11 significant bits that a tensor core reads, ties away from zero."""
    return ((x.to(tl.int32, bitcast=True) + 0x1000) & -0x2000).to(tl.float32, bitcast=True)


@triton.jit
def as_ordered_integer(x):
    """int32 in the order of float32 x."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def load_columns(place, columns, D, EVEN: tl.constexpr):
    """Zeros in columns beyond D; if EVEN, whole blocks make up D."""
    if EVEN:
        return tl.load(place)
    return tl.load(place, mask=columns < D, other=0.0)


@triton.jit
def squared_distance(x_start, codebook, codes, D, BLOCK_D: tl.constexpr, EVEN: tl.constexpr):
    """Of each row of x to the code named for it, in float32."""
    total = tl.zeros(codes.shape, tl.float32)
    for first_column in range(0, D, BLOCK_D):
        columns = first_column + tl.arange(0, BLOCK_D)[None, :]
        x_tile = load_columns(x_start + columns, columns, D, EVEN).to(tl.float32)
        code_tile = load_columns(codebook + codes[:, None] * D + columns, columns, D, EVEN).to(tl.float32)
        difference = x_tile - code_tile
        total += tl.sum(difference * difference, axis=1)
    return total


@triton.jit
def scores(
    x_start,
    scored,
    scored_low,
    half_norms,
    first_code,
    K,
    D,
    stride_sk,
    stride_sd,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """x.e - ||e||^2 / 2 of BLOCK_M rows and BLOCK_K codes: the nearest code has the highest.

    scored (K,D) is the codebook as the scores read it, scored_low what is missing from it (tf32x3). half_norms (K,) is
    ||e||^2 / 2, or None, and then summed on the way; it is infinite for the codes with which it and scored are filled
    up to whole blocks.
    """
    codes = first_code + tl.arange(0, BLOCK_K)
    score = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
    norm = tl.zeros((BLOCK_K,), tl.float32)
    if half_norms is None:
        start = tl.minimum(codes, K - 1)[:, None] * stride_sk
    else:
        start = codes[:, None] * stride_sk
        score -= tl.load(half_norms + codes)[None, :]
    for first_column in range(0, D, BLOCK_D):
        columns = first_column + tl.arange(0, BLOCK_D)[None, :]
        x_tile = load_columns(x_start + columns, columns, D, EVEN).to(tl.float32)
        code_tile = load_columns(scored + start + columns * stride_sd, columns, D, EVEN)
        if PRECISION == "ieee":
            code_tile = code_tile.to(tl.float32)
            score = tl.dot(x_tile, tl.trans(code_tile), score, input_precision="ieee")
            if half_norms is None:
                norm += tl.sum(code_tile * code_tile, axis=1)
        elif PRECISION == "tf32x3":
            low_tile = load_columns(scored_low + start + columns * stride_sd, columns, D, EVEN)
            high = round_to_tf32(x_tile)
            low = round_to_tf32(x_tile - high)
            score = tl.dot(low, tl.trans(code_tile), score, input_precision="tf32")
            score = tl.dot(high, tl.trans(low_tile), score, input_precision="tf32")
            score = tl.dot(high, tl.trans(code_tile), score, input_precision="tf32")
        else:
            half = x_tile.to(tl.bfloat16)
            if UPCAST:
                half, code_tile = half.to(tl.float32), code_tile.to(tl.float32)
            score = tl.dot(half, tl.trans(code_tile), score)
    if half_norms is None:
        score = tl.where(codes < K, tl.fma(norm, -0.5, score), float("-inf"))
    return score


@triton.jit
def better_of(best, best_code, score, codes, K):
    """The best score of each row and its code, after a tile of scores; of equal ones the code that came first."""
    tile_best = tl.max(score, axis=1)
    tile_code = tl.min(tl.where(score == tile_best[:, None], codes[None, :], K), axis=1)
    best_code = tl.where(tile_best > best, tile_code, best_code)
    return tl.maximum(tile_best, best), best_code


@triton.jit
def codebook_lookup_kernel(
    x,
    codebook,
    scored,
    scored_low,
    half_norms,
    out,
    M,
    K,
    D,
    codes_of_program,
    stride_sk,
    stride_sd,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    SPLIT: tl.constexpr,
    EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program finds the nearest of its range of codes for BLOCK_M rows, BLOCK_K codes at a time.

    scored, scored_low, half_norms: see `scores`.
    """
    # Rows beyond the last read it again, which is cheaper than masks.
    first_row = tl.program_id(0).to(tl.int64) * BLOCK_M
    rows = tl.arange(0, BLOCK_M)
    rows_left = (M - first_row).to(tl.int32)
    x_start = x + first_row * D + tl.minimum(rows, rows_left - 1)[:, None] * D
    begin, end = 0, K
    if SPLIT:
        begin = tl.program_id(1) * codes_of_program
        end = tl.minimum(begin + codes_of_program, K)
    offsets = tl.arange(0, BLOCK_K)
    best = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    best_code = tl.zeros((BLOCK_M,), tl.int32) + begin
    best_key = tl.full((BLOCK_M,), -0x80000000, tl.int32)
    second_key, second_code = best_key, best_code
    for first_code in range(begin, end, BLOCK_K):
        score = scores(
            x_start,
            scored,
            scored_low,
            half_norms,
            first_code,
            K,
            D,
            stride_sk,
            stride_sd,
            PRECISION,
            UPCAST,
            EVEN,
            BLOCK_M,
            BLOCK_K,
            BLOCK_D,
        )
        # Codes come in rising order, so a later one has to be strictly nearer.
        if PRECISION == "fast":
            # The low bits of a score make room for its code, the lowest code highest; two maxima give the two best.
            key = (as_ordered_integer(score) & -BLOCK_K) | (BLOCK_K - 1 - offsets)[None, :]
            key_1 = tl.max(key, axis=1)
            key_2 = tl.max(tl.where(key == key_1[:, None], -0x80000000, key), axis=1)
            code_1 = first_code + BLOCK_K - 1 - (key_1 & (BLOCK_K - 1))
            code_2 = first_code + BLOCK_K - 1 - (key_2 & (BLOCK_K - 1))
            key_1, key_2 = key_1 & -BLOCK_K, key_2 & -BLOCK_K
            # Second is the loser of the two best, or the second of the winner's side.
            better = key_1 > best_key
            loser_key, loser_code = tl.where(better, best_key, key_1), tl.where(better, best_code, code_1)
            rival_key, rival_code = tl.where(better, key_2, second_key), tl.where(better, code_2, second_code)
            rival_wins = (rival_key > loser_key) | ((rival_key == loser_key) & (rival_code < loser_code))
            second_key = tl.where(rival_wins, rival_key, loser_key)
            second_code = tl.where(rival_wins, rival_code, loser_code)
            best_key, best_code = tl.where(better, key_1, best_key), tl.where(better, code_1, best_code)
        else:
            best, best_code = better_of(best, best_code, score, first_code + offsets, K)

    if PRECISION == "fast":
        best_code, second_code = tl.minimum(best_code, K - 1), tl.minimum(second_code, K - 1)
        distance = squared_distance(x_start, codebook, best_code, D, BLOCK_D, EVEN)
        rival = squared_distance(x_start, codebook, second_code, D, BLOCK_D, EVEN)
        rival_wins = (rival < distance) | ((rival == distance) & (second_code < best_code))
        best_code = tl.where(rival_wins, second_code, best_code)
        distance = tl.where(rival_wins, rival, distance)
        best_code = tl.where(distance < float("inf"), best_code, begin)
    else:
        distance = 0.0 - best
    if SPLIT:
        key = (as_ordered_integer(distance).to(tl.int64) << 32) | best_code
        tl.store(out + tl.program_id(1).to(tl.int64) * M + first_row + rows, key, mask=rows < rows_left)
    else:
        tl.store(out + first_row + rows, best_code.to(tl.int64), mask=rows < rows_left)


@triton.jit
def join_splits_kernel(keys, out, M, num_splits, BLOCK_M: tl.constexpr, BLOCK_S: tl.constexpr):
    """out (M,) is the code in the lowest key of each column of keys (num_splits,M)."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[None, :]
    splits = tl.arange(0, BLOCK_S)[:, None]
    key = tl.load(keys + splits * M + rows, mask=(rows < M) & (splits < num_splits), other=0x7FFFFFFFFFFFFFFF)
    code = tl.min(key, axis=0)[None, :] & 0xFFFFFFFF
    tl.store(out + rows, code, mask=rows < M)


def codebook_lookup_triton(x: Tensor, codebook: Tensor, precision: str = "ieee", out: Tensor | None = None) -> Tensor:
    """As `codebook_lookup_ref`, up to rounding; which errors a precision allows is written there.

    Up to FEW_ROWS rows every precision takes the float32 kernel: they wait for memory, not for arithmetic. So does a
    width that is no multiple of 16: tensor cores are fed by wide loads.
    Any strides. out (M,) int64, contiguous: written and returned.
    """
    check_precision(precision)
    m, d = x.shape
    if m <= FEW_ROWS or d % 16:
        precision = "ieee"
    k = codebook.shape[0]
    if out is None:
        out = torch.empty(m, dtype=torch.int64, device=x.device)
    if m == 0:
        return out
    x, codebook = contiguous(x), contiguous(codebook)
    if m <= FEW_ROWS:
        block_m, block_k, block_d, num_warps, num_stages = 16, 16, 64, 4, 3
        scored, scored_low, half_norms = codebook, None, None
    else:
        block_m, block_k, block_d, num_warps, num_stages = tile_of_many_rows(precision, x.device)
        scored, scored_low, half_norms = as_scored(codebook, precision, block_k)

    blocks, tiles = triton.cdiv(m, block_m), triton.cdiv(k, block_k)
    tiles_of_program = triton.cdiv(tiles, triton.cdiv(PROGRAMS, blocks))
    splits = triton.cdiv(tiles, tiles_of_program)
    target = out if splits == 1 else torch.empty(splits, m, dtype=torch.int64, device=x.device)
    with torch.cuda.device_of(x):
        codebook_lookup_kernel[(blocks, splits)](
            x,
            codebook,
            scored,
            scored_low,
            half_norms,
            target,
            m,
            k,
            d,
            tiles_of_program * block_k,
            *scored.stride(),
            PRECISION=precision,
            # The interpreter, the only one to see tensors of the CPU, reads bfloat16 as integers.
            UPCAST=x.device.type == "cpu",
            SPLIT=splits > 1,
            EVEN=d % block_d == 0,
            BLOCK_M=block_m,
            BLOCK_K=block_k,
            BLOCK_D=block_d,
            num_warps=num_warps,
            num_stages=num_stages,
            # Left to itself, ptxas of Triton 3.7 and 3.8 spills at 56.
            maxnreg=128 if m <= FEW_ROWS else None,
            enable_fp_fusion=True,
        )
        if splits > 1:
            join_splits_kernel[(triton.cdiv(m, 64),)](
                target, out, m, splits, BLOCK_M=64, BLOCK_S=triton.next_power_of_2(splits), num_warps=4
            )
    return out


def tile_of_many_rows(precision: str, device: torch.device) -> tuple[int, int, int, int, int]:
    """Rows, codes and columns of a tile, warps, stages: as many sums as registers hold, so that little is read."""
    if precision == "ieee":
        return 64, 128, 16, 4, 3
    # Hopper and Blackwell read the second factor from shared memory; older tensor cores need registers for it.
    generation = 9 if device.type == "cpu" else torch.cuda.get_device_capability(device)[0]
    tiles = {
        "tf32x3": {9: (256, 128, 16, 8, 4), 10: (128, 128, 32, 8, 3), None: (128, 64, 32, 8, 3)},
        "fast": {9: (128, 256, 64, 8, 3), 10: (128, 256, 64, 8, 3), None: (128, 128, 64, 8, 3)},
    }[precision]
    return tiles.get(generation, tiles[None])


def as_scored(codebook: Tensor, precision: str, block_k: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """scored, scored_low and half_norms of `scores` for a codebook (...,K,D), filled up to whole blocks of codes."""
    codebook = codebook.float()
    fill = -codebook.shape[-2] % block_k
    half_norms = F.pad(codebook.square().sum(dim=-1) / 2, (0, fill), value=float("inf"))
    codebook = F.pad(codebook, (0, 0, 0, fill))
    if precision == "ieee":  # a column at a time: the codes that a warp multiplies lie side by side
        return codebook.mT.contiguous().mT, None, half_norms
    if precision == "fast":
        return codebook.bfloat16(), None, half_norms
    high = tf32(codebook)
    return high, tf32(codebook - high), half_norms


def tf32(x: Tensor) -> Tensor:
    """As `round_to_tf32`."""
    return ((x.view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)
