"""norm_linear against LayerNorm and linear layer, one after the other, in float64."""

import pytest
import torch
import torch.nn.functional as F

from lamp_fast.kernels.norm_linear import norm_linear_ref


@pytest.mark.parametrize("activation", ["none", "gelu"])
@pytest.mark.parametrize("m, i, o", [(1, 1, 1), (7, 49, 63), (49, 64, 5)])
def test_is_the_norm_and_the_linear_layer(activation, m, i, o):
    torch.manual_seed(i)
    x, v, c, gain, shift = (torch.randn(shape).double() for shape in ((m, i), (o, i), (o,), (i,), (i,)))
    weight = v * gain
    y, stats = norm_linear_ref(
        x.float(), weight.float(), weight.sum(1).float(), (c + v @ shift).float(), activation, 1e-5
    )
    expected = F.layer_norm(x, (i,), gain, shift) @ v.T + c
    expected = F.gelu(expected) if activation == "gelu" else expected
    torch.testing.assert_close(y.double(), expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(stats[:, 0].double(), x.mean(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(stats[:, 1].double(), (x.var(1, correction=0) + 1e-5).rsqrt(), atol=0, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_weights_of_8_bit_stand_for_scaled_ones(dtype):
    torch.manual_seed(0)
    x, weight, scale, bias = torch.randn(7, 48), (torch.randn(9, 48) * 30).to(dtype), torch.rand(9), torch.randn(9)
    scaled = weight.float() * scale[:, None]
    got = norm_linear_ref(x, weight, scaled.sum(1), bias, "none", 1e-5, scale)
    expected = norm_linear_ref(x, scaled, scaled.sum(1), bias, "none", 1e-5)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-5)


def test_constant_rows_and_types():
    x = torch.full((2, 5), 3.0, dtype=torch.bfloat16)
    weight, bias = torch.ones(3, 5, dtype=torch.bfloat16), torch.full((3,), 2.0, dtype=torch.bfloat16)
    y, stats = norm_linear_ref(x, weight, torch.full((3,), 5.0), bias, "none", 1e-12)
    assert y.dtype == torch.bfloat16 and stats.dtype == torch.float32
    assert (y == 2).all() and stats[0].tolist() == pytest.approx([3.0, 1e6])
    assert norm_linear_ref(x[:0], weight, bias.float(), bias, "gelu", 1e-5)[0].shape == (0, 3)
