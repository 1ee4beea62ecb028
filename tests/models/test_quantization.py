"""8-bit weights: how near they come, and that the layers compute with exactly them."""

from copy import deepcopy

import pytest
import torch

from lamp_fast.errors import LampError
from lamp_fast.models.quantization import SCHEMES, QuantizedLinear, quantize_generator, quantize_weight

DTYPES = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}


def weights(shape, seed=0):
    """Channels of very different size, one of them zero where there are several."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    weight *= 10 ** torch.linspace(-6, 6, len(weight))[:, None]
    if len(weight) > 1:
        weight[1] = 0
    return weight


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 63), (48, 512)])
def test_the_error_of_a_weight(dtype, shape):
    weight = weights(shape)
    weight8, scale = quantize_weight(weight, dtype)
    assert weight8.dtype == DTYPES[dtype] and scale.dtype == torch.float32 and scale.shape == shape[:1]
    error = (weight8.double() * scale[:, None] - weight.double()).abs()
    step = scale[:, None].double().expand(shape)
    if dtype == "fp8":  # a step is 1/8 of the power of two below, and 2^-9 for the smallest
        step = torch.maximum(weight.double().abs() / 8, step * 2**-9)
    assert (error <= step / 2 * (1 + 1e-5)).all()
    assert (weight8.float().abs().amax(1)[scale != 1] == (127 if dtype == "int8" else 448)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_representable_stays(dtype):
    weight8, scale = quantize_weight(weights((7, 63)), dtype)
    again, _ = quantize_weight(weight8.float() * scale[:, None], dtype)
    assert torch.equal(again.float(), weight8.float())


def test_bad_weights_are_one_sentence():
    with pytest.raises(LampError, match="NaN"):
        quantize_weight(torch.tensor([[1.0, float("nan")]]), "fp8")
    with pytest.raises(LampError, match="int4"):
        quantize_weight(torch.ones(2, 2), "int4")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_layer_computes_with_the_stored_numbers(scheme, dtype, bias):
    torch.manual_seed(0)
    layer = QuantizedLinear(torch.nn.Linear(63, 33, bias), scheme)
    x = torch.randn(2, 7, 63).to(dtype)
    x[0, 0] *= 1e4  # one row of giants, and one giant in a row
    x[0, 1, 5] = 1e4
    x[1, 2] = 0
    got = layer(x)
    assert got.shape == (2, 7, 33) and got.dtype == dtype
    wide = x.double()
    if layer.int8_activations:
        step = wide.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
        wide = (wide / step).round() * step
    expected = wide @ (layer.weight8.double() * layer.scale[:, None]).T
    if bias:
        expected = expected + layer.bias
    size = wide.abs() @ (layer.weight8.double().abs() * layer.scale[:, None]).T + 1
    unit = {torch.float32: 2e-6, torch.bfloat16: 2**-8}[dtype]  # float32 sums of 63; one rounding to 8 bits
    assert ((got.double() - expected).abs() <= unit * size).all()


def test_one_giant_costs_its_own_row_only():
    """With int8 activations the others of that row drown in its step; no other row changes."""
    torch.manual_seed(0)
    layer = QuantizedLinear(torch.nn.Linear(48, 20), "w8a8-int8")
    x = torch.randn(3, 48)
    calm = layer(x)
    x[1, 0] = 1e6
    got = layer(x)
    assert torch.equal(got[[0, 2]], calm[[0, 2]])
    assert torch.equal(got[1], layer(torch.zeros(1, 48).index_fill(1, torch.tensor(0), 1e6))[0])
    x[1, 0] = float("inf")
    got = layer(x)
    assert got[1].isnan().all() and torch.equal(got[[0, 2]], calm[[0, 2]])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantised_generator_is_a_copy_that_comes_near(tiny_lamp, scheme):
    model = tiny_lamp.generator
    before = deepcopy(model.state_dict())
    quantized = quantize_generator(model, scheme, torch.float32)
    layers = [name for name, module in quantized.named_modules() if isinstance(module, QuantizedLinear)]
    assert len(layers) == 4 * model.config.num_layers + 2
    ids, condition = torch.tensor([[3, 24, 24, 7, 25]]), torch.randn(1, model.config.condition_dim)
    expected, got = (m(ids, condition, torch.tensor([4])) for m in (model, quantized))
    relative = (got - expected)[:, :4].norm() / expected[:, :4].norm()
    assert 0 < relative < (0.1 if scheme == "w8a16-fp8" else 0.03)  # rounding to 3 bits of mantissa, and to 127 steps
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_half_precision_takes_a_condition_of_float32(tiny_lamp):
    quantized = quantize_generator(tiny_lamp.generator, "w8a16-int8")
    logits = quantized(torch.tensor([[3, 24]]), torch.randn(1, 32), None)
    assert logits.dtype == torch.bfloat16 and logits.isfinite().all()


def test_unknown_scheme_is_one_sentence(tiny_lamp):
    with pytest.raises(LampError, match="w8a8-int8"):
        quantize_generator(tiny_lamp.generator, "w4a4")
