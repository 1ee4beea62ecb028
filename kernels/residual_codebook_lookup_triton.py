"""residual_codebook_lookup on a GPU: all levels in one kernel, since a program keeps its rows from first to last."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .codebook_lookup_triton import as_scored, better_of, load_columns, scores
from .operands import contiguous


@triton.jit
def residual_codebook_lookup_kernel(
    codebooks,
    scored,
    half_norms,
    codes,
    quantized,
    M,
    K,
    D,
    num_levels,
    stride_sl,
    stride_sk,
    stride_sd,
    stride_hl,
    EVEN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program quantises BLOCK_M rows. quantized holds x at first, and until the end what is left of it.

    There, in the cache, and not in registers: BLOCK_M rows of D numbers would leave none for the scores. Nobody else
    touches these rows; the barriers let every thread see what the others wrote.
    """
    first_row = tl.program_id(0).to(tl.int64) * BLOCK_M
    rows = tl.arange(0, BLOCK_M)
    mine = first_row + rows < M
    # Rows beyond the last read it again, which is cheaper than masks.
    rows = tl.minimum(rows, (M - first_row).to(tl.int32) - 1)
    left_start = quantized + first_row * D + rows[:, None] * D
    codes_start = codes + (first_row + rows) * num_levels
    for level in range(num_levels):
        scored_level = scored + level * stride_sl
        codebook = codebooks + level * K * D
        best = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        best_code = tl.zeros((BLOCK_M,), tl.int32)
        for first_code in range(0, K, BLOCK_K):
            score = scores(
                left_start,
                scored_level,
                None,
                half_norms + level * stride_hl,
                first_code,
                K,
                D,
                stride_sk,
                stride_sd,
                "ieee",
                False,
                EVEN,
                BLOCK_M,
                BLOCK_K,
                BLOCK_D,
            )
            best, best_code = better_of(best, best_code, score, first_code + tl.arange(0, BLOCK_K), K)
        tl.store(codes_start + level, best_code.to(tl.int64), mask=mine)
        tl.debug_barrier()
        for first_column in range(0, D, BLOCK_D):
            columns = first_column + tl.arange(0, BLOCK_D)[None, :]
            left = load_columns(left_start + columns, columns, D, EVEN)
            found = load_columns(codebook + best_code[:, None] * D + columns, columns, D, EVEN)
            tl.store(left_start + columns, left - found.to(tl.float32), mask=mine[:, None] & (columns < D))
        tl.debug_barrier()
    for first_column in range(0, D, BLOCK_D):
        columns = first_column + tl.arange(0, BLOCK_D)[None, :]
        total = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
        for level in range(num_levels):
            place = tl.load(codes_start + level) + level * K
            total += load_columns(codebooks + place[:, None] * D + columns, columns, D, EVEN).to(tl.float32)
        tl.store(left_start + columns, total, mask=mine[:, None] & (columns < D))


def residual_codebook_lookup_triton(
    x: Tensor, codebooks: Tensor, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """As `residual_codebook_lookup_ref`, up to the rounding of float32 sums; a row with a NaN gives codes 0.

    Any strides, any number of rows. out: codes (M,L) int64 and quantized (M,D) float32, contiguous: written and
    returned.
    """
    (m, d), (levels, k, _) = x.shape, codebooks.shape
    if out is None:
        out = x.new_empty(m, levels, dtype=torch.int64), x.new_empty(m, d, dtype=torch.float32)
    codes, quantized = out
    if m == 0:
        return out
    quantized.copy_(x.detach())
    # Many rows take tiles that reuse what they read; few go to many programs.
    block_m, block_k, block_d = (64, 128, 16) if m > 4096 else (16, 128, 32)
    codebooks = contiguous(codebooks)
    scored, _, half_norms = as_scored(codebooks, "ieee", block_k)
    with torch.cuda.device_of(x):
        residual_codebook_lookup_kernel[(triton.cdiv(m, block_m),)](
            codebooks,
            scored,
            half_norms,
            codes,
            quantized,
            m,
            k,
            d,
            levels,
            *scored.stride(),
            half_norms.stride(0),
            EVEN=d % block_d == 0,
            BLOCK_M=block_m,
            BLOCK_K=block_k,
            BLOCK_D=block_d,
            num_warps=4,
            num_stages=3,
            enable_fp_fusion=True,
        )
    return out
