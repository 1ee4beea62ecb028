"""residual_codebook_lookup against the plain algorithm in float64."""

import pytest
import torch

from lamp_fast.kernels.codebook_lookup import codebook_lookup_ref
from lamp_fast.kernels.residual_codebook_lookup import residual_codebook_lookup_ref


@pytest.mark.parametrize("count, levels, num_codes, width", [(1, 1, 1, 1), (49, 6, 33, 16), (7, 2, 5, 3), (0, 2, 3, 4)])
def test_each_level_takes_the_nearest_code_of_what_is_left(count, levels, num_codes, width):
    torch.manual_seed(count)
    x, codebooks = torch.randn(count, width), torch.randn(levels, num_codes, width)
    codes, quantized = residual_codebook_lookup_ref(x, codebooks)
    assert codes.shape == (count, levels) and quantized.dtype == torch.float32
    left = x.double()
    for level in range(levels):
        distance = torch.cdist(left, codebooks[level].double())
        assert torch.equal(codes[:, level], distance.argmin(dim=1))
        left = left - codebooks[level].double()[codes[:, level]]
    torch.testing.assert_close(quantized.double(), x.double() - left, atol=1e-5, rtol=0)


def test_one_level_is_the_lookup():
    x, codebooks = torch.randn(49, 8), torch.randn(1, 16, 8)
    codes, quantized = residual_codebook_lookup_ref(x, codebooks)
    assert torch.equal(codes[:, 0], codebook_lookup_ref(x, codebooks[0]))
    assert torch.equal(quantized, codebooks[0][codes[:, 0]])
