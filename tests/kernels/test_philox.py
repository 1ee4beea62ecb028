"""Philox: published answers, stated counting, and a distribution that is uniform."""

import pytest
import torch

from lamp_fast.kernels.philox import philox4x32, philox_uniform_ref

# Known-answer vectors of Random123 (kat_vectors, philox4x32 10).
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_published_answers(counter, key, expected):
    words = philox4x32(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(word.item() for word in words) == expected


def test_uniform_is_counted_by_sample_step_position_and_code():
    seed, sample, step = 0x299F31D0A4093822, 5, 3
    noise = philox_uniform_ref(torch.tensor([seed]), torch.tensor([sample]), step, 7, 11)
    assert noise.shape == (1, 7, 11) and noise.dtype == torch.float32
    for position in range(7):
        for code in range(11):
            counter = tuple(map(torch.tensor, (sample, step, position, code // 4)))
            key = tuple(map(torch.tensor, (seed & 0xFFFFFFFF, seed >> 32)))
            word = philox4x32(counter, key)[code % 4].item()
            assert noise[0, position, code].item() == (word >> 8) / 2**24


@pytest.mark.parametrize("positions, codes", [(1, 1), (7, 5), (49, 63)])
def test_more_rows_positions_or_codes_change_nothing(positions, codes):
    seeds, samples = torch.tensor([1, -1, 2**62]), torch.tensor([0, 9, 2**32 - 1])
    large = philox_uniform_ref(seeds, samples, 2, 63, 66)
    for row in range(3):
        small = philox_uniform_ref(seeds[row : row + 1], samples[row : row + 1], 2, positions, codes)
        assert small.is_contiguous()
        assert torch.equal(small[0], large[row, :positions, :codes])


def test_every_part_of_the_counter_and_key_matters():
    def noise(seed=1, sample=2, step=3):
        return philox_uniform_ref(torch.tensor([seed]), torch.tensor([sample]), step, 4, 8)

    first = noise()
    others = [noise(seed=2), noise(seed=1 + 2**32), noise(seed=1 - 2**63), noise(sample=3), noise(step=2**32 - 1)]
    for other in others:
        assert (first == other).double().mean() < 0.1
    assert len(first.unique()) == first.numel()


def test_uniform_distribution():
    noise = philox_uniform_ref(torch.tensor([7]), torch.tensor([0]), 0, 500, 512).flatten().double()
    assert noise.min() >= 0 and noise.max() < 1
    # 256,000 draws: standard deviation of the mean 5.7e-4, of a share of one bin in 64 about 2.5e-4.
    assert abs(noise.mean().item() - 0.5) < 3e-3
    share = torch.histc(noise, bins=64, min=0, max=1) / noise.numel()
    assert (share - 1 / 64).abs().max() < 1.2e-3
    neighbours = torch.corrcoef(torch.stack((noise[:-1], noise[1:])))[0, 1]
    assert neighbours.abs() < 0.01
