"""linear_residual against torch's own layers in float64."""

import pytest
import torch
import torch.nn.functional as F

from lamp_fast.kernels.linear_residual import linear_residual_ref


@pytest.mark.parametrize("m, i, o", [(1, 1, 1), (7, 49, 63)])
def test_is_the_linear_layer_and_its_residual(m, i, o):
    torch.manual_seed(i)
    x, weight, bias, residual, scale, shift = (torch.randn(s) for s in ((m, i), (o, i), (o,), (m, o), (o,), (o,)))
    product = F.linear(x.double(), weight.double(), bias.double())
    got = linear_residual_ref(x, weight, bias, residual)
    torch.testing.assert_close(got.double(), product + residual, atol=2e-5, rtol=0)
    variance, mean = torch.var_mean(residual.double(), dim=1, correction=0)
    stats = torch.stack((mean, (variance + 1e-5).rsqrt()), dim=1).float()
    got = linear_residual_ref(x, weight, bias, residual, stats, scale, shift)
    expected = product + F.layer_norm(residual.double(), (o,), scale.double(), shift.double())
    torch.testing.assert_close(got.double(), expected, atol=2e-5, rtol=0)


def test_chosen_rows_and_weights_of_8_bit():
    torch.manual_seed(0)
    x, residual, bias, scale = torch.randn(5, 8), torch.randn(5, 3), torch.randn(3), torch.rand(3)
    weight = torch.randint(-127, 128, (3, 8), dtype=torch.int8)
    rows = torch.tensor([4, -1, 0, 4], dtype=torch.int32)
    got = linear_residual_ref(x, weight, bias, residual, rows=rows, weight_scale=scale)
    everything = linear_residual_ref(x, weight * scale[:, None], bias, residual)
    torch.testing.assert_close(got[[0, 2, 3]], everything[[4, 0, 4]], atol=1e-4, rtol=0)
    assert got.isfinite().all()
