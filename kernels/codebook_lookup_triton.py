"""codebook_lookup on a GPU: distances and their argmin in one pass; the (M,K) matrix of distances is never stored."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def codebook_lookup_kernel(
    x,
    codebook,
    out,
    M,
    K,
    D,
    stride_xm,
    stride_xd,
    stride_ck,
    stride_cd,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One program finds the codes of BLOCK_M rows, and walks through the codebook BLOCK_K codes at a time."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    nearest = tl.full((BLOCK_M,), float("inf"), tl.float32)
    nearest_code = tl.zeros((BLOCK_M,), tl.int32)
    for first_code in range(0, K, BLOCK_K):
        codes = first_code + tl.arange(0, BLOCK_K)
        product = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
        norm = tl.zeros((BLOCK_K,), tl.float32)
        for first_column in range(0, D, BLOCK_D):
            columns = first_column + tl.arange(0, BLOCK_D)
            x_tile = tl.load(
                x + rows[:, None] * stride_xm + columns[None, :] * stride_xd,
                mask=(rows[:, None] < M) & (columns[None, :] < D),
                other=0.0,
            ).to(tl.float32)
            code_tile = tl.load(
                codebook + codes[:, None] * stride_ck + columns[None, :] * stride_cd,
                mask=(codes[:, None] < K) & (columns[None, :] < D),
                other=0.0,
            ).to(tl.float32)
            # "ieee" is float32 multiply-add: TF32 would choose another code where two are close.
            product = tl.dot(x_tile, tl.trans(code_tile), product, input_precision="ieee")
            norm += tl.sum(code_tile * code_tile, axis=1)
        # The norm of x is the same for every code and left out.
        distance = tl.where(codes[None, :] < K, norm[None, :] - 2 * product, float("inf"))
        tile_nearest, offset = tl.min(distance, axis=1, return_indices=True, return_indices_tie_break_left=True)
        # Codes come in rising order, so a later one has to be strictly nearer.
        nearest_code = tl.where(tile_nearest < nearest, first_code + offset, nearest_code)
        nearest = tl.minimum(tile_nearest, nearest)
    tl.store(out + rows, nearest_code.to(tl.int64), mask=rows < M)


def codebook_lookup_triton(x: Tensor, codebook: Tensor, out: Tensor | None = None) -> Tensor:
    """As `codebook_lookup_ref`, up to the rounding of a float32 sum: of two codes whose distances agree in all but the
    last bits either may be found; equal codes give the lowest index. A row with a NaN gives code 0.

    Any strides. out (M,) int64, contiguous: written and returned.
    """
    m, d = x.shape
    if out is None:
        out = torch.empty(m, dtype=torch.int64, device=x.device)
    if m == 0:
        return out
    # Few rows go to many programs; many rows to tiles that reuse what they load.
    block_m, block_d, num_warps = (16, 16, 4) if m <= 2048 else (64, 16, 8)
    with torch.cuda.device_of(x):
        codebook_lookup_kernel[(triton.cdiv(m, block_m),)](
            x.detach(),
            codebook.detach(),
            out,
            m,
            codebook.shape[0],
            d,
            *x.stride(),
            *codebook.stride(),
            BLOCK_M=block_m,
            BLOCK_K=64,
            BLOCK_D=block_d,
            num_warps=num_warps,
            enable_fp_fusion=True,
        )
    return out
