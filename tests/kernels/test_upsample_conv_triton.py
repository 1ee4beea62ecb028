"""The Triton kernel of upsample_conv against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.upsample_conv import upsample_conv_ref

kernel = pytest.importorskip("lamp_fast.kernels.upsample_conv_triton")
pytestmark = pytest.mark.usefixtures("few_programs")

# As in test_conv1d_triton.py.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 6e-2}


def arguments(device, batch, t, inputs, outputs, dtype=torch.float32):
    """x, weight, bias; weights as the engine lays them out."""
    torch.manual_seed(t * 100 + inputs)
    weight = torch.randn(2, outputs, 2, inputs) / (2 * inputs) ** 0.5
    x, bias = torch.randn(batch, t, inputs), torch.randn(outputs)
    return [tensor.to(device, dtype) for tensor in (x, weight.transpose(1, 2), bias)]


def check(x, weight, bias, lengths=None):
    out = x.new_full((x.shape[0], 2 * x.shape[1], len(bias)), float("nan"))
    got = kernel.upsample_conv_triton(x, weight, bias, lengths, out=out)
    assert got.data_ptr() == out.data_ptr()
    expected = upsample_conv_ref(x.double(), weight.double(), bias.double(), lengths)
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[x.dtype], rtol=0)
    return got


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "batch, t, inputs, outputs", [(1, 1, 48, 96), (2, 7, 96, 48), (1, 49, 51, 33), (1, 63, 192, 64)]
)
def test_float64(device, dtype, batch, t, inputs, outputs):
    check(*arguments(device, batch, t, inputs, outputs, dtype))


def test_large_tiles(device, monkeypatch):
    x, weight, bias = arguments(device, 3, 45, 48, 40, torch.float16)
    tile = kernel.choose_tile(x, 10**6, 512)
    monkeypatch.setattr(kernel, "choose_tile", lambda *sizes: tile)
    check(x, weight, bias, torch.tensor([45, 7, 30], device=device))


def test_a_padded_sample_gives_the_bits_that_it_gives_alone(device):
    x, weight, bias = arguments(device, 3, 7, 32, 16, torch.float16)
    lengths = [7, 4, 0]
    for rows, length in zip(x, lengths):
        rows[length:] = float("nan")
    got = check(x, weight, bias, torch.tensor(lengths, device=device))
    for b, length in enumerate(lengths):
        alone = kernel.upsample_conv_triton(x[b : b + 1, :length], weight, bias)
        assert torch.equal(got[b : b + 1, : 2 * length], alone)


def test_strides_and_empty(device):
    x, weight, bias = arguments(device, 2, 7, 16, 24)
    expected = check(x, weight, bias)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    reversed_inputs = weight.transpose(2, 3).contiguous().transpose(2, 3)
    every_second = torch.stack((bias, bias), dim=1)[:, 0]
    assert torch.equal(kernel.upsample_conv_triton(strided, reversed_inputs, every_second), expected)
    assert kernel.upsample_conv_triton(x[:0], weight, bias).shape == (0, 14, 24)
