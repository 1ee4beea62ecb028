"""int8_linear against exact integers and float64."""

import pytest
import torch

from lamp_fast.kernels.int8_linear import int8_linear_ref
from lamp_fast.kernels.quantize_rows import quantize_rows_ref


@pytest.mark.parametrize("m, width, channels", [(1, 1, 1), (7, 49, 63), (49, 512, 130)])
def test_exact_up_to_the_last_roundings(m, width, channels):
    torch.manual_seed(width)
    x, weight = torch.randint(-127, 128, (m, width)), torch.randint(-127, 128, (channels, width))
    x_scale, weight_scale, bias = torch.rand(m), torch.rand(channels), torch.randn(channels)
    got = int8_linear_ref(x.to(torch.int8), x_scale, weight.to(torch.int8), weight_scale, bias)
    product = (x @ weight.T).double() * x_scale[:, None].double() * weight_scale.double()
    # Four roundings of float32, each half a unit in the last place of what it rounds.
    assert ((got - (product + bias)).abs() <= 2**-22 * (product.abs() + bias.abs())).all()


def test_sums_beyond_the_integers_of_float32():
    """3,072 products of 127 * 127: odd sums that a float32 accumulator would not hold."""
    x = torch.full((1, 3072), 127, dtype=torch.int8)
    weight = torch.full((2, 3072), 127, dtype=torch.int8)
    weight[1, -1] = 126
    one = torch.ones(2)
    got = int8_linear_ref(x, one[:1], weight, one, None, torch.float64)
    assert got.tolist() == [[float(torch.tensor(127 * 127 * 3072.0)), float(torch.tensor(127.0 * (127 * 3072 - 1)))]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_result_has_the_type_asked_for_and_comes_near_the_float_layer(dtype):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(5, 48), torch.randn(7, 48), torch.randn(7, dtype=dtype)
    got = int8_linear_ref(*quantize_rows_ref(x), *quantize_rows_ref(weight), bias, dtype)
    assert got.dtype == dtype
    # Each factor is off by at most half of 1/127 of its row's largest, about 3 here: 0.012 * sqrt(48 * 2).
    torch.testing.assert_close(got.float(), x @ weight.T + bias.float(), atol=0.5, rtol=0)


def test_a_row_that_is_not_finite_stays_visible_and_alone():
    x = torch.randn(3, 8)
    x[1, 2] = float("nan")
    got = int8_linear_ref(*quantize_rows_ref(x), *quantize_rows_ref(torch.randn(4, 8)), None)
    assert got[1].isnan().all() and got[[0, 2]].isfinite().all()
