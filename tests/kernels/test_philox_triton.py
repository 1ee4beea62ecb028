"""Philox in Triton: published answers, and the bits of the reference."""

import pytest
import torch

from lamp_fast.kernels.philox import philox_uniform_ref

philox_uniform_triton = pytest.importorskip("lamp_fast.kernels.philox_triton").philox_uniform_triton


def test_published_answer(device):
    """Random123, kat_vectors, philox4x32 10: counter and key of zeros."""
    zero = torch.zeros(1, dtype=torch.int64, device=device)
    words = torch.tensor([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    assert torch.equal(philox_uniform_triton(zero, zero, 0, 1, 4).cpu()[0, 0], (words >> 8).float() / 2**24)


@pytest.mark.parametrize("step", [0, 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("positions, codes", [(1, 1), (2, 13)])
def test_same_bits_as_the_reference(device, step, positions, codes):
    seeds, samples = torch.tensor([1, -1, 0x299F31D0A4093822]), torch.tensor([0, 9, 2**32 - 1])
    expected = philox_uniform_ref(seeds, samples, step, positions, codes)
    got = philox_uniform_triton(seeds.to(device), samples.to(device), step, positions, codes)
    assert torch.equal(got.cpu(), expected)


def test_expanded_seeds_out_and_empty(device):
    seeds, samples = torch.tensor([7], device=device).expand(2), torch.arange(4, device=device)[::2]
    out = torch.full((2, 3, 5), float("nan"), device=device)
    assert philox_uniform_triton(seeds, samples, 2, 3, 5, out=out) is out
    assert torch.equal(out, philox_uniform_ref(seeds, samples, 2, 3, 5))
    assert philox_uniform_triton(seeds[:0], samples[:0], 2, 3, 5).shape == (0, 3, 5)
