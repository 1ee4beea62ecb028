"""The Triton kernel of codebook_lookup against float64 and the reference."""

import pytest
import torch

from lamp_fast.kernels.codebook_lookup import codebook_lookup_ref

codebook_lookup_triton = pytest.importorskip("lamp_fast.kernels.codebook_lookup_triton").codebook_lookup_triton


def gap_to_nearest(x, codebook, codes):
    """By how much each chosen code is farther than the nearest, in float64, and what float32 rounding may cost."""
    x, codebook = x.cpu().double(), codebook.cpu().double()
    distance = codebook.square().sum(dim=1) - 2 * x @ codebook.T
    gap = distance.gather(1, codes.cpu()[:, None])[:, 0] - distance.min(dim=1).values
    # Two sums of D float32 products, each rounded at most D + 2 times by half a unit in the last place.
    size = codebook.square().sum(dim=1).max() + 2 * (x.abs() @ codebook.abs().T).max(dim=1).values
    return gap, 2 * (x.shape[1] + 2) * 2.0**-24 * size


@pytest.mark.parametrize("count, codes, width", [(1, 1, 1), (7, 3, 7), (49, 70, 33), (63, 64, 32), (17, 129, 65)])
def test_nearest_code(device, count, codes, width):
    torch.manual_seed(count)
    x, codebook = torch.randn(count, width, device=device) * 3, torch.randn(codes, width, device=device)
    found = codebook_lookup_triton(x, codebook)
    assert found.shape == (count,) and found.dtype == torch.int64
    gap, allowed = gap_to_nearest(x, codebook, found)
    assert (gap <= allowed).all()


def test_many_rows(device):
    """More than 2048 rows take larger tiles."""
    torch.manual_seed(0)
    x, codebook = torch.randn(2049, 5, device=device), torch.randn(6, 5, device=device)
    gap, allowed = gap_to_nearest(x, codebook, codebook_lookup_triton(x, codebook))
    assert (gap <= allowed).all()


def test_codes_that_float32_can_hardly_tell_apart(device):
    torch.manual_seed(0)
    base = torch.randn(4, 40)
    codebook = (base[:, None] + torch.randn(4, 16, 40) * 1e-6).flatten(0, 1).to(device)
    x = (base.repeat(8, 1) + torch.randn(32, 40) * 0.1).to(device)
    gap, allowed = gap_to_nearest(x, codebook, codebook_lookup_triton(x, codebook))
    assert (gap <= allowed).all()


def test_ties_give_the_lowest_index(device):
    """The same code twice in one tile, and again in a later tile."""
    codebook = torch.full((130, 2), 9.0)
    codebook[[7, 11, 70, 129]] = torch.tensor([1.0, 0.0])
    x = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    assert codebook_lookup_triton(x.to(device), codebook.to(device)).tolist() == [7, 7, 7]


def test_a_row_that_is_not_a_number_gives_a_code_and_leaves_the_others_alone(device):
    torch.manual_seed(0)
    x, codebook = torch.randn(3, 8, device=device), torch.randn(5, 8, device=device)
    expected = codebook_lookup_ref(x, codebook)
    x[1] = float("nan")
    expected[1] = 0
    assert torch.equal(codebook_lookup_triton(x, codebook), expected)


def test_strides_out_and_empty(device):
    torch.manual_seed(0)
    x, codebook = torch.randn(10, 9, device=device).T, torch.randn(6, 20, device=device)[:, ::2]
    out = torch.full((9,), -1, device=device)
    assert codebook_lookup_triton(x, codebook, out=out) is out
    assert torch.equal(out, codebook_lookup_ref(x, codebook))
    assert codebook_lookup_triton(x[:0], codebook).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_compared_in_float32(device, dtype):
    torch.manual_seed(0)
    x, codebook = torch.randn(5, 32, device=device).to(dtype), torch.randn(9, 32, device=device).to(dtype)
    expected = codebook_lookup_triton(x.float(), codebook.float())
    assert torch.equal(codebook_lookup_triton(x, codebook.requires_grad_()), expected)
