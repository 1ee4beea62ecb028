"""The Triton kernel of residual_codebook_lookup against float64: indices, and how near the sum of the codes comes."""

import pytest
import torch

from lamp_fast.kernels.residual_codebook_lookup import residual_codebook_lookup_ref

residual_codebook_lookup_triton = pytest.importorskip(
    "lamp_fast.kernels.residual_codebook_lookup_triton"
).residual_codebook_lookup_triton


def drawn(device, count, levels, num_codes, width):
    """Codebooks that get finer from level to level."""
    torch.manual_seed(count)
    scale = 0.5 ** torch.arange(levels)[:, None, None]
    return torch.randn(count, width).to(device), (torch.randn(levels, num_codes, width) * scale).to(device)


def codes_in_float64(x, codebooks):
    left, codes = x.double().cpu(), []
    for codebook in codebooks.double().cpu():
        codes.append((codebook.square().sum(dim=1) - 2 * left @ codebook.T).argmin(dim=1))
        left = left - codebook[codes[-1]]
    return torch.stack(codes, dim=1), left.square().sum(dim=1)


@pytest.mark.parametrize(
    "count, levels, num_codes, width", [(1, 1, 1, 1), (7, 2, 3, 7), (49, 3, 130, 33), (17, 6, 64, 32)]
)
def test_codes_and_reconstruction(device, count, levels, num_codes, width):
    x, codebooks = drawn(device, count, levels, num_codes, width)
    codes, quantized = residual_codebook_lookup_triton(x, codebooks)
    assert codes.shape == (count, levels) and codes.dtype == torch.int64 and quantized.dtype == torch.float32
    expected, best = codes_in_float64(x, codebooks)
    assert torch.equal(codes.cpu(), expected)
    total = sum(codebooks[level][codes[:, level]] for level in range(levels))
    assert torch.equal(quantized, total)
    error = (x - quantized).cpu().double().square().sum(dim=1)
    torch.testing.assert_close(error, best, atol=1e-5 * width, rtol=1e-4)


def test_near_ties_cost_nothing_but_the_index(device):
    """Every code twice, the second nearly the same: whichever is chosen, the sum comes as near."""
    x, codebooks = drawn(device, 32, 3, 16, 24)
    codebooks = torch.cat([codebooks, codebooks * (1 + 1e-7)], dim=1)
    codes, quantized = residual_codebook_lookup_triton(x, codebooks)
    expected, best = codes_in_float64(x, codebooks)
    assert torch.equal(codes.cpu() % 16, expected % 16)
    torch.testing.assert_close((x - quantized).cpu().double().square().sum(dim=1), best, atol=1e-4, rtol=1e-4)


def test_repeated_codes_give_the_lowest_index(device):
    x, codebooks = drawn(device, 9, 2, 5, 8)
    once, _ = residual_codebook_lookup_triton(x, codebooks)
    twice, _ = residual_codebook_lookup_triton(x, codebooks.repeat(1, 30, 1))
    assert torch.equal(once, twice)


def test_many_rows(device):
    """More than 4096 rows take larger tiles."""
    x, codebooks = drawn(device, 4097, 2, 6, 5)
    codes, quantized = residual_codebook_lookup_triton(x, codebooks)
    expected, _ = residual_codebook_lookup_ref(x, codebooks)
    assert (codes == expected).all(dim=1).double().mean() > 0.999
    torch.testing.assert_close(quantized[-1], sum(codebooks[i][codes[-1, i]] for i in range(2)), atol=0, rtol=0)


def test_a_row_that_is_not_a_number_gives_codes_0_and_leaves_the_others_alone(device):
    x, codebooks = drawn(device, 3, 2, 5, 8)
    expected, quantized = residual_codebook_lookup_triton(x, codebooks)
    x[1] = float("nan")
    codes, got = residual_codebook_lookup_triton(x, codebooks)
    assert torch.equal(codes[::2], expected[::2]) and torch.equal(got[::2], quantized[::2])
    assert codes[1].tolist() == [0, 0] and torch.equal(got[1], codebooks[:, 0].sum(dim=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_strides_out_and_empty(device, dtype):
    x, codebooks = drawn(device, 9, 2, 6, 10)
    x, codebooks = x.to(dtype), codebooks.to(dtype)
    codes, quantized = residual_codebook_lookup_triton(x.float(), codebooks.float())
    out = torch.full((9, 2), -1, device=device), torch.full((9, 10), float("nan"), device=device)
    wide = codebooks.repeat_interleave(2, dim=1)[:, ::2].requires_grad_()
    assert residual_codebook_lookup_triton(x.T.contiguous().T, wide, out=out) is out
    assert torch.equal(out[0], codes) and torch.equal(out[1], quantized)
    assert residual_codebook_lookup_triton(x[:0], codebooks)[0].shape == (0, 2)
