"""Philox-4x32-10 (Salmon et al. 2011, Random123): random numbers that are a function of a key and a counter.

No state is carried, so every backend, batch composition and padding draws the same number for the same
(seed, sample, step, position, code).
"""

import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_MASK32 = 0xFFFFFFFF
_ROUNDS = 10


def _multiply(constant: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a 32 x 32 bit product; in halves, so that a signed 64-bit integer never overflows."""
    low = word * (constant & 0xFFFF)
    middle = (low >> 16) + word * (constant >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)


def philox4x32(counter: tuple, key: tuple) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten rounds of Philox-4x32.

    counter: four, key: two 32-bit words as int64 tensors that broadcast together (words 1 and 3 of the counter may be
    plain ints). Returns four int64 tensors holding 32-bit words.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(_MULTIPLIERS[0], c0)
        high1, low1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _MASK32, (k1 + _KEY_STEPS[1]) & _MASK32
    return c0, c1, c2, c3


def philox_uniform_ref(seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int) -> Tensor:
    """Uniform noise in [0, 1).

    seeds (B,) int64 (all 64 bits are the key), samples (B,) int64, step 0..2^32-1 -> (B,N,K) float32 with 24 random
    bits. The counter is (sample, step, position, code // 4); code % 4 picks the output word.
    """
    position = torch.arange(num_positions, device=seeds.device)[:, None]
    block = torch.arange((num_codes + 3) // 4, device=seeds.device)
    seeds, samples = seeds[:, None, None], samples[:, None, None]
    words = philox4x32(
        (samples & _MASK32, step, position, block),
        (seeds & _MASK32, (seeds >> 32) & _MASK32),
    )
    uniform = (torch.stack(words, dim=-1) >> 8).float() * 2.0**-24
    return uniform.flatten(-2)[..., :num_codes].contiguous()
