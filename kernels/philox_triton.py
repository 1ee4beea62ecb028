"""Philox noise on a GPU, with the key and the counter of `philox.py`."""

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def philox_uniform_row(seed, sample, step, position, BLOCK_K: tl.constexpr):
    """Noise of one position: int64 seed and sample, integer step and position -> (BLOCK_K,) float32 in [0, 1).

    BLOCK_K is a power of two, at least 4. Each counter gives the numbers of four codes.
    """
    block = tl.arange(0, BLOCK_K // 4).to(tl.uint32)
    word0, word1, word2, word3 = tl.philox(
        seed, sample.to(tl.uint32), step.to(tl.uint32), position.to(tl.uint32), block, 10
    )
    word = tl.interleave(tl.interleave(word0, word2), tl.interleave(word1, word3))
    return (word >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2^-24


@triton.jit(do_not_specialize=["step"])
def philox_uniform_kernel(seeds, samples, out, step, N, K, BLOCK_K: tl.constexpr):
    """One program fills one (sample, position)."""
    row = tl.program_id(0).to(tl.int64)
    sample = row // N
    uniform = philox_uniform_row(tl.load(seeds + sample), tl.load(samples + sample), step, row % N, BLOCK_K)
    codes = tl.arange(0, BLOCK_K)
    tl.store(out + row * K + codes, uniform, mask=codes < K)


def philox_uniform_triton(
    seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int, out: Tensor | None = None
) -> Tensor:
    """As `philox_uniform_ref`, bit for bit. out (B,N,K) float32, contiguous: written and returned."""
    if out is None:
        out = torch.empty(len(seeds), num_positions, num_codes, device=seeds.device)
    if out.numel() == 0:
        return out
    with torch.cuda.device_of(seeds):
        philox_uniform_kernel[(len(seeds) * num_positions,)](
            seeds.contiguous(),
            samples.contiguous(),
            out,
            step,
            num_positions,
            num_codes,
            BLOCK_K=max(4, triton.next_power_of_2(num_codes)),
            num_warps=1,
            enable_fp_fusion=False,
        )
    return out
