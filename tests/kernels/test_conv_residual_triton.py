"""Both ways of conv_residual on a GPU against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.conv_residual import conv_residual_ref

kernel = pytest.importorskip("lamp_fast.kernels.conv_residual_triton")
pytestmark = pytest.mark.usefixtures("few_programs")

# As in test_conv1d_triton.py; the hidden rows are rounded too.
TOLERANCE = {torch.float32: 5e-6, torch.float16: 6e-3, torch.bfloat16: 1e-1}
WAYS = pytest.mark.parametrize("fused", [True, False], ids=["one launch", "two"])


def arguments(device, batch, t, width, dtype=torch.float32):
    """x, conv_weight, conv_bias, out_weight, out_bias; weights as the engine lays them out."""
    torch.manual_seed(t * 100 + width)
    conv = torch.randn(width, 3, width) / (3 * width) ** 0.5
    out = torch.randn(width, width) / width**0.5
    tensors = torch.randn(batch, t, width), conv.transpose(0, 1), torch.randn(width), out, torch.randn(width)
    return [tensor.to(device, dtype) for tensor in tensors]


def check(inputs, dilation, lengths=None, **options):
    out = torch.full_like(inputs[0], float("nan"))
    got = kernel.conv_residual_triton(*inputs, dilation, lengths, out=out, **options)
    assert got.data_ptr() == out.data_ptr()
    expected = conv_residual_ref(*(tensor.double() for tensor in inputs), dilation, lengths)
    torch.testing.assert_close(got.double(), expected, atol=TOLERANCE[out.dtype], rtol=0)
    return got


@WAYS
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("batch, t, width, dilation", [(1, 1, 48, 1), (2, 7, 96, 3), (1, 19, 51, 9), (1, 17, 192, 3)])
def test_float64(device, fused, dtype, batch, t, width, dilation):
    check(arguments(device, batch, t, width, dtype), dilation, fused=fused)


@pytest.mark.parametrize("rows", [32, 64])
def test_many_rows_in_a_program(device, monkeypatch, rows):
    monkeypatch.setattr(kernel, "choose_rows", lambda _: rows)
    lengths = torch.tensor([23, 7, 15], device=device)
    check(arguments(device, 3, 23, 48, torch.float16), 9, lengths, fused=True)


def test_widest_fused(device):
    check(arguments(device, 1, 20, kernel.MAX_WIDTH, torch.float16), 3, fused=True)


@WAYS
def test_a_padded_sample_gives_the_bits_that_it_gives_alone(device, fused):
    x, *weights = arguments(device, 3, 7, 32, torch.float16)
    lengths = [7, 4, 0]
    for rows, length in zip(x, lengths):
        rows[length:] = float("nan")
    got = check([x, *weights], 3, torch.tensor(lengths, device=device), fused=fused)
    for b, length in enumerate(lengths):
        alone = kernel.conv_residual_triton(x[b : b + 1, :length], *weights, 3, fused=fused)
        assert torch.equal(got[b : b + 1, :length], alone)


@WAYS
def test_strides_and_empty(device, fused):
    x, conv, conv_bias, out, out_bias = inputs = arguments(device, 2, 7, 32)
    expected = check(inputs, 1, fused=fused, hidden=torch.full_like(x, float("nan")))
    biases = torch.stack((conv_bias, out_bias), dim=1).unbind(1)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2), conv.contiguous(), biases[0], out.T.contiguous().T
    assert torch.equal(kernel.conv_residual_triton(*strided, biases[1], fused=fused), expected)
    assert kernel.conv_residual_triton(x[:0], *inputs[1:], fused=fused).shape == (0, 7, 32)


def test_one_launch_where_it_pays():
    bf16 = torch.bfloat16
    assert kernel.is_fused(49, 128, bf16) and kernel.is_fused(50176, 192, bf16)
    assert not kernel.is_fused(49, 192, bf16) and not kernel.is_fused(50176, 512, bf16)
    assert not kernel.is_fused(50176, 128, torch.float32)
