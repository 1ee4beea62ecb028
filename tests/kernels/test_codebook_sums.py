"""codebook_sums against plain float64 sums."""

import pytest
import torch

from lamp_fast.kernels.codebook_sums import codebook_sums_ref


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("count, num_codes, width", [(1, 1, 1), (7, 3, 7), (49, 63, 33), (0, 5, 4)])
def test_sums_and_counts(dtype, count, num_codes, width):
    torch.manual_seed(count)
    x, codes = torch.randn(count, width).to(dtype), torch.randint(num_codes, (count,))
    sums, counts = codebook_sums_ref(x, codes, num_codes)
    assert sums.dtype == torch.float32 and counts.dtype == torch.int64
    chosen = codes[None] == torch.arange(num_codes)[:, None]
    torch.testing.assert_close(sums.double(), chosen.double() @ x.double(), atol=count * 1e-6, rtol=0)
    assert torch.equal(counts, chosen.sum(dim=1))


def test_autocast_does_not_lower_the_precision_and_no_gradient_comes_back():
    x, codes = torch.randn(49, 5, requires_grad=True), torch.randint(4, (49,))
    expected, _ = codebook_sums_ref(x, codes, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums, _ = codebook_sums_ref(x, codes, 4)
    assert torch.equal(sums, expected) and not sums.requires_grad
