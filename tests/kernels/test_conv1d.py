"""conv1d against an explicit float64 sum over taps."""

import pytest
import torch

from lamp_fast.kernels.conv1d import FEW_ROWS, conv1d_ref

# Sums of 3 I products of size 1 / sqrt(3 I): half precision rounds the result itself.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}


def explicit(x, weight, bias, dilation=1, relu_input=False, relu_output=False, residual=None, lengths=None):
    x, weight, bias = x.double(), weight.double(), bias.double()
    batch, t, _ = x.shape
    out = torch.zeros(batch, t, len(bias), dtype=torch.float64)
    for b in range(batch):
        length = t if lengths is None else int(lengths[b])
        for row in range(length):
            out[b, row] = bias if residual is None else bias + residual[b, row].double()
            for tap, w in enumerate(weight):
                source = row + (tap - len(weight) // 2) * dilation
                if 0 <= source < length:
                    out[b, row] += w @ (x[b, source].relu() if relu_input else x[b, source])
    out = out.relu() if relu_output else out
    return out if lengths is None else out * (torch.arange(t) < lengths[:, None])[:, :, None]


def arguments(batch, t, inputs, outputs, taps=3, dtype=torch.float32):
    """x, weight, bias, residual; weights as the engine lays them out."""
    torch.manual_seed(t * 100 + inputs)
    weight = torch.randn(outputs, taps, inputs) / (taps * inputs) ** 0.5
    x, bias, residual = torch.randn(batch, t, inputs), torch.randn(outputs), torch.randn(batch, t, outputs)
    return x.to(dtype), weight.to(dtype).transpose(0, 1), bias.to(dtype), residual.to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("dilation", [1, 3, 9])
@pytest.mark.parametrize("batch, t, inputs, outputs", [(1, 1, 5, 7), (2, 7, 48, 33), (1, 49, 16, 24)])
def test_explicit(dtype, dilation, batch, t, inputs, outputs):
    x, weight, bias, residual = arguments(batch, t, inputs, outputs, dtype=dtype)
    got = conv1d_ref(x, weight, bias, dilation, True, True, residual)
    assert got.dtype == dtype
    expected = explicit(x, weight, bias, dilation, True, True, residual)
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("taps, dilation", [(1, 1), (3, 3), (5, 2)])
def test_many_rows_and_taps(taps, dilation):
    x, weight, bias, _ = arguments(2, FEW_ROWS // 2 + 1, 6, 5, taps)
    expected = explicit(x, weight, bias, dilation)
    torch.testing.assert_close(conv1d_ref(x, weight, bias, dilation).double(), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("t, lengths", [(7, [7, 3, 0]), (FEW_ROWS, [5, FEW_ROWS])])
def test_lengths_hide_what_the_padding_holds(t, lengths):
    x, weight, bias, residual = arguments(len(lengths), t, 8, 6)
    lengths = torch.tensor(lengths)
    expected = explicit(x, weight, bias, 3, True, False, residual, lengths)
    for rows, length in zip((*x, *residual), (*lengths, *lengths)):
        rows[length:] = float("nan")
    got = conv1d_ref(x, weight, bias, 3, relu_input=True, residual=residual, lengths=lengths)
    torch.testing.assert_close(got.double(), expected, atol=5e-6, rtol=0)


def test_strides_and_empty():
    x, weight, bias, _ = arguments(2, 7, 8, 6)
    expected = conv1d_ref(x, weight, bias)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(conv1d_ref(strided, weight.contiguous(), bias), expected, atol=1e-6, rtol=0)
    assert conv1d_ref(x[:0], weight, bias).shape == (0, 7, 6)


def test_gradients():
    x, weight, bias, residual = (tensor.double().requires_grad_() for tensor in arguments(2, 4, 3, 2))
    lengths = torch.tensor([4, 2])
    assert torch.autograd.gradcheck(
        lambda *inputs: conv1d_ref(*inputs[:3], 2, residual=inputs[3], lengths=lengths), (x, weight, bias, residual)
    )
