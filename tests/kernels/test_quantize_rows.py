"""quantize_rows: what it promises of every row, ties and extremes included."""

import pytest
import torch

from lamp_fast.kernels.quantize_rows import quantize_rows_ref


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (7, 49), (3, 3072)])
def test_every_number_is_within_half_a_step(dtype, shape):
    torch.manual_seed(shape[1])
    x = (torch.randn(shape) * 10 ** torch.linspace(-3, 3, shape[0])[:, None]).to(dtype)
    values, scale = quantize_rows_ref(x)
    assert values.dtype == torch.int8 and scale.dtype == torch.float32
    assert (values.int().abs().amax(1) == 127).all()
    error = (values.double() * scale[:, None] - x.double()).abs()
    assert (error <= scale[:, None].double() * (0.5 + 1e-5)).all()  # the quotient is a rounded float32


def test_ties_go_to_even():
    x = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 125.5, -126.5]])
    values, scale = quantize_rows_ref(x)
    assert values.tolist() == [[127, 0, 2, 2, 0, -2, 126, -126]] and scale.tolist() == [1.0]


def test_extreme_rows():
    largest, inf, nan = torch.finfo(torch.float32).max, float("inf"), float("nan")
    x = torch.tensor([[0.0, -0.0], [1e-40, -3e-45], [-largest, largest / 4], [nan, 1.0], [-inf, 1.0], [1e4, 1e-4]])
    values, scale = quantize_rows_ref(x)
    assert values.tolist() == [[0, 0], [0, 0], [-127, 32], [0, 0], [0, 0], [127, 0]]
    assert scale[:2].tolist() == [1.0, 1.0] and scale[2].isfinite()
    assert scale[3:5].isnan().all()


def test_empty():
    values, scale = quantize_rows_ref(torch.empty(0, 5))
    assert values.shape == (0, 5) and scale.shape == (0,)
