"""codebook_lookup against a float64 argmin: they may differ only where float32 cannot tell two codes apart."""

import pytest
import torch

from lamp_fast.kernels.codebook_lookup import codebook_lookup_ref


def check_against_float64(x, codebook, codes):
    x, codebook = x.double(), codebook.double()
    distance = codebook.square().sum(dim=1) - 2 * x @ codebook.T
    chosen = distance.gather(1, codes[:, None])[:, 0]
    gap = chosen - distance.min(dim=1).values
    # Two sums of D float32 products, each rounded at most D + 2 times by half a unit in the last place.
    size = codebook.square().sum(dim=1).max() + 2 * (x.abs() @ codebook.abs().T).max(dim=1).values
    assert (gap <= 2 * (x.shape[1] + 2) * 2.0**-24 * size).all()


@pytest.mark.parametrize("count", [1, 7, 49, 63, 500])
@pytest.mark.parametrize("width, codes", [(1, 1), (7, 3), (32, 48), (128, 512), (511, 63)])
def test_nearest_code(count, width, codes):
    torch.manual_seed(count * 1000 + width)
    x, codebook = torch.randn(count, width) * 3, torch.randn(codes, width)
    found = codebook_lookup_ref(x, codebook)
    assert found.shape == (count,) and found.dtype == torch.int64
    check_against_float64(x, codebook, found)


def test_codes_that_float32_can_hardly_tell_apart():
    torch.manual_seed(0)
    base = torch.randn(8, 64)
    codebook = (base[:, None] + torch.randn(8, 16, 64) * 1e-6).flatten(0, 1)
    x = base.repeat(50, 1) + torch.randn(400, 64) * 0.1
    check_against_float64(x, codebook, codebook_lookup_ref(x, codebook))


def test_ties_give_the_lowest_index():
    codebook = torch.tensor([[5.0, 5.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    x = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    assert codebook_lookup_ref(x, codebook).tolist() == [1, 1, 1]


def test_every_code_finds_itself():
    codebook = torch.randn(512, 32)
    assert torch.equal(codebook_lookup_ref(codebook, codebook), torch.arange(512))


def test_empty_and_non_contiguous():
    codebook = torch.randn(9, 10)
    assert codebook_lookup_ref(torch.zeros(0, 10), codebook).shape == (0,)
    x = torch.randn(10, 63).T
    assert torch.equal(codebook_lookup_ref(x, codebook[:, :]), codebook_lookup_ref(x.contiguous(), codebook))
    wide = torch.randn(9, 20)[:, ::2]
    assert torch.equal(codebook_lookup_ref(x, wide), codebook_lookup_ref(x, wide.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_compared_in_float32(dtype):
    x, codebook = torch.randn(49, 32).to(dtype), torch.randn(63, 32).to(dtype)
    assert torch.equal(codebook_lookup_ref(x, codebook), codebook_lookup_ref(x.float(), codebook.float()))


def test_autocast_does_not_lower_the_precision():
    codebook = torch.randn(512, 64)
    x = codebook + torch.randn(512, 64) * 0.3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = codebook_lookup_ref(x, codebook)
    assert torch.equal(found, codebook_lookup_ref(x, codebook))


def test_inputs_that_need_gradients_are_accepted():
    found = codebook_lookup_ref(torch.randn(3, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True))
    assert not found.requires_grad


def test_a_precision_that_does_not_exist():
    with pytest.raises(ValueError, match="ieee, tf32x3, fast"):
        codebook_lookup_ref(torch.zeros(1, 2), torch.zeros(3, 2), "tf32")
