"""The Triton kernel of codebook_lookup, in each precision, against float64 and the reference.

The kernels for many rows are held to the same numbers as the one for few: `many` sends every call to them.
"""

import pytest
import torch

from lamp_fast.kernels.codebook_lookup import PRECISIONS, codebook_lookup_ref

file = pytest.importorskip("lamp_fast.kernels.codebook_lookup_triton")
codebook_lookup_triton = file.codebook_lookup_triton

# In units of ulp, as the reference says.
ALLOWED = {"ieee": lambda d: d + 2, "tf32x3": lambda d: 2 * d + 16, "fast": lambda d: 2**18}


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(file, "FEW_ROWS", 0)


def gap_in_ulp(x, codebook, codes):
    """By how much each chosen code is farther than the nearest, in float64, in units of ulp of the reference."""
    x, codebook = x.cpu().double(), codebook.cpu().double()
    square = codebook.square().sum(dim=1)
    distance = square - 2 * x @ codebook.T
    gap = distance.gather(1, codes.cpu()[:, None])[:, 0] - distance.min(dim=1).values
    ulp = 2.0**-23 * (square + 2 * x.abs() @ codebook.abs().T).max(dim=1).values
    return gap / ulp.clamp(min=1e-300)


def near_ties(width, groups=4, size=16, spread=1e-6):
    """Groups of codes that differ by less than float32 can tell, and rows near each group."""
    torch.manual_seed(0)
    base = torch.randn(groups, width)
    codebook = (base[:, None] + torch.randn(groups, size, width) * spread).flatten(0, 1)
    return base.repeat(8, 1) + torch.randn(8 * groups, width) * 0.1, codebook


SIZES = [(1, 1, 1), (7, 3, 7), (49, 70, 33), (63, 64, 32), (17, 129, 65)]


@pytest.mark.parametrize("count, codes, width", SIZES)
def test_few_rows(device, count, codes, width):
    """Exact in every precision."""
    torch.manual_seed(count)
    x, codebook = torch.randn(count, width, device=device) * 3, torch.randn(codes, width, device=device)
    for precision in PRECISIONS:
        found = codebook_lookup_triton(x, codebook, precision)
        assert found.shape == (count,) and found.dtype == torch.int64
        assert gap_in_ulp(x, codebook, found).max() <= ALLOWED["ieee"](width)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("count, codes, width", [*SIZES[:2], (49, 70, 16), (300, 300, 48)])
def test_many_rows(device, many, precision, count, codes, width):
    torch.manual_seed(count)
    x, codebook = torch.randn(count, width, device=device) * 3, torch.randn(codes, width, device=device)
    gap = gap_in_ulp(x, codebook, codebook_lookup_triton(x, codebook, precision))
    assert gap.max() <= ALLOWED[precision](width)
    # What rounding may do at worst is far from what it does to numbers without a plan.
    assert (gap > 8).double().mean() <= (0.02 if precision == "fast" else 0)


def test_more_rows_than_few(device):
    torch.manual_seed(0)
    x, codebook = torch.randn(file.FEW_ROWS + 1, 5, device=device), torch.randn(6, 5, device=device)
    assert gap_in_ulp(x, codebook, codebook_lookup_triton(x, codebook)).max() <= ALLOWED["ieee"](5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_codes_that_float32_can_hardly_tell_apart(device, many, precision):
    x, codebook = (tensor.to(device) for tensor in near_ties(48))
    gap = gap_in_ulp(x, codebook, codebook_lookup_triton(x, codebook, precision))
    assert gap.max() <= ALLOWED[precision](48)


def test_fast_is_exact_between_the_best_two(device, many):
    """Pairs of codes that bfloat16 cannot tell apart, float32 can."""
    x, codebook = (tensor.to(device) for tensor in near_ties(48, groups=16, size=2, spread=1e-3))
    gap = gap_in_ulp(x, codebook, codebook_lookup_triton(x, codebook, "fast"))
    assert gap.max() <= ALLOWED["ieee"](48)


def test_fast_can_be_wrong_among_three_by_no_more_than_it_says(device, many):
    x, codebook = (tensor.to(device) for tensor in near_ties(48, groups=4, size=16, spread=1e-2))
    gap = gap_in_ulp(x, codebook, codebook_lookup_triton(x, codebook, "fast"))
    assert gap.max() <= ALLOWED["fast"](48)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("few", [False, True])
def test_ties_give_the_lowest_index(device, monkeypatch, precision, few):
    """The same code twice in one tile, and again in later tiles, with scores above and below zero."""
    monkeypatch.setattr(file, "FEW_ROWS", 256 if few else 0)
    codebook = torch.full((400, 16), 9.0)
    codebook[[7, 11, 12, 70, 129, 399]] = torch.eye(16)[0]
    x = torch.eye(16)[0] * torch.tensor([[1.0], [0.5], [0.0], [-1.0]])
    assert codebook_lookup_triton(x.to(device), codebook.to(device), precision).tolist() == [7, 7, 7, 7]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("few", [False, True])
def test_a_row_that_is_not_a_number_gives_a_code_and_leaves_the_others_alone(device, monkeypatch, precision, few):
    monkeypatch.setattr(file, "FEW_ROWS", 256 if few else 0)
    torch.manual_seed(0)
    x, codebook = torch.randn(4, 16, device=device), torch.randn(37, 16, device=device)
    expected = codebook_lookup_ref(x, codebook)
    x[1], x[3, 2] = float("nan"), float("inf")
    found = codebook_lookup_triton(x, codebook, precision)
    assert torch.equal(found[[0, 2]], expected[[0, 2]])
    assert all(0 <= code < 37 for code in found.tolist())


def test_result_does_not_depend_on_how_the_codes_are_shared_out(device, many, monkeypatch):
    torch.manual_seed(0)
    x, codebook = torch.randn(20, 16, device=device), torch.randn(300, 16, device=device)
    for precision in ("ieee", "tf32x3"):
        shared_out = codebook_lookup_triton(x, codebook, precision)
        monkeypatch.setattr(file, "PROGRAMS", 1)
        assert torch.equal(codebook_lookup_triton(x, codebook, precision), shared_out)


def test_strides_out_and_empty(device, many):
    torch.manual_seed(0)
    x, codebook = torch.randn(16, 9, device=device).T, torch.randn(6, 32, device=device)[:, ::2]
    for precision in PRECISIONS:
        out = torch.full((9,), -1, device=device)
        assert codebook_lookup_triton(x, codebook, precision, out=out) is out
        assert torch.equal(out, codebook_lookup_ref(x, codebook))
        assert codebook_lookup_triton(x[:0], codebook, precision).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("few", [False, True])
def test_other_dtypes_are_compared_in_float32(device, monkeypatch, dtype, few):
    monkeypatch.setattr(file, "FEW_ROWS", 256 if few else 0)
    torch.manual_seed(0)
    x, codebook = torch.randn(5, 32, device=device).to(dtype), torch.randn(9, 32, device=device).to(dtype)
    for precision in PRECISIONS:
        expected = codebook_lookup_triton(x.float(), codebook.float(), precision)
        assert torch.equal(codebook_lookup_triton(x, codebook.requires_grad_(), precision), expected)


def test_a_precision_that_does_not_exist(device):
    with pytest.raises(ValueError, match="ieee, tf32x3, fast"):
        codebook_lookup_triton(torch.zeros(1, 2, device=device), torch.zeros(3, 2, device=device), "tf32")
