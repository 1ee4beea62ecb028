"""The Triton kernel of codebook_sums: right, and the same bits whatever else it is asked."""

import pytest
import torch

codebook_sums_triton = pytest.importorskip("lamp_fast.kernels.codebook_sums_triton").codebook_sums_triton


def drawn(device, count, num_codes, width):
    torch.manual_seed(count)
    return torch.randn(count, width, device=device), torch.randint(num_codes, (count,), device=device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("count, num_codes, width", [(1, 1, 1), (7, 9, 7), (49, 3, 129), (0, 2, 4)])
def test_against_float64(device, dtype, count, num_codes, width):
    x, codes = drawn(device, count, num_codes, width)
    x = x.to(dtype)
    sums, counts = codebook_sums_triton(x.requires_grad_(), codes, num_codes)
    assert sums.dtype == torch.float32 and not sums.requires_grad
    chosen = codes[None] == torch.arange(num_codes, device=device)[:, None]
    # A sum of n float32 numbers of size 1, each addition rounded by 2^-24 of the sum so far.
    torch.testing.assert_close(sums.double(), chosen.double() @ x.detach().double(), atol=count * 1e-6, rtol=0)
    assert torch.equal(counts, chosen.sum(dim=1))


def test_same_bits_from_run_to_run_among_other_codes_and_columns(device):
    x, codes = drawn(device, 300, 3, 130)
    sums, counts = codebook_sums_triton(x, codes, 3)
    again, _ = codebook_sums_triton(x, codes, 3)
    assert torch.equal(sums, again)
    mine = codes == 1
    alone, count = codebook_sums_triton(x[mine], codes[mine], 2)
    assert torch.equal(alone[1], sums[1]) and count.tolist() == [0, counts[1].item()]
    narrow, _ = codebook_sums_triton(x[:, 100:], codes, 3)
    assert torch.equal(narrow, sums[:, 100:])


def test_what_is_not_a_number_stays_with_its_code(device):
    x, codes = drawn(device, 20, 3, 5)
    expected, _ = codebook_sums_triton(x, codes, 3)
    x[codes == 1] = float("nan")
    sums, _ = codebook_sums_triton(x, codes, 3)
    assert sums[1].isnan().all() and torch.equal(sums[::2], expected[::2])


def test_strides_out_and_codes_out_of_range(device):
    x, codes = drawn(device, 20, 3, 8)
    expected, counts = codebook_sums_triton(x[:, ::2].contiguous(), codes, 3)
    out = torch.full((3, 4), float("nan"), device=device), torch.full((3,), -1, device=device)
    strange = torch.tensor([-1, 3, 99], device=device)
    x, codes = torch.cat([x, x[:3] * float("nan")]), torch.cat([codes, strange])
    got = codebook_sums_triton(x[:, ::2], codes.repeat_interleave(2)[::2], 3, out=out)
    assert got is out and torch.equal(out[0], expected) and torch.equal(out[1], counts)
