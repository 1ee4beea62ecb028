"""upsample_conv against nearest upsampling and a convolution, one after the other."""

import pytest
import torch
import torch.nn.functional as F

from lamp_fast.kernels.upsample_conv import merge_upsample_weight, upsample_conv_ref


def two_steps(x, weight, bias):
    x = F.interpolate(x.double().transpose(1, 2), scale_factor=2.0, mode="nearest")
    return F.conv1d(x, weight.double(), bias.double(), padding=1).transpose(1, 2)


def arguments(batch, t, inputs, outputs):
    torch.manual_seed(t + inputs)
    return torch.randn(batch, t, inputs), torch.randn(outputs, inputs, 3) / (3 * inputs) ** 0.5, torch.randn(outputs)


# Half precision rounds the merged weights and the result.
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 5e-6), (torch.float16, 8e-3), (torch.bfloat16, 6e-2)])
@pytest.mark.parametrize("batch, t, inputs, outputs", [(1, 1, 5, 7), (2, 7, 48, 33), (3, 49, 16, 24)])
def test_two_steps_in_one(dtype, atol, batch, t, inputs, outputs):
    x, weight, bias = arguments(batch, t, inputs, outputs)
    x = x.to(dtype)
    got = upsample_conv_ref(x, merge_upsample_weight(weight).to(dtype), bias.to(dtype))
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), two_steps(x, weight, bias), atol=atol, rtol=0)


def test_a_padded_sample_gives_what_it_gives_alone():
    x, weight, bias = arguments(3, 7, 8, 6)
    lengths = torch.tensor([7, 4, 0])
    for rows, length in zip(x, lengths):
        rows[length:] = float("nan")
    got = upsample_conv_ref(x, merge_upsample_weight(weight), bias, lengths)
    for rows, result, length in zip(x, got, lengths):
        if length:
            alone = two_steps(rows[None, :length], weight, bias)[0]
            torch.testing.assert_close(result[: 2 * length].double(), alone, atol=5e-6, rtol=0)
        assert not result[2 * length :].any()


def test_strides_and_empty():
    x, weight, bias = arguments(2, 7, 8, 6)
    merged = merge_upsample_weight(weight)
    strided = merged.transpose(1, 2).contiguous().transpose(1, 2)
    got = upsample_conv_ref(x.transpose(0, 1).contiguous().transpose(0, 1), strided, bias)
    torch.testing.assert_close(got, upsample_conv_ref(x, merged, bias), atol=1e-6, rtol=0)
    assert upsample_conv_ref(x[:, :0], merged, bias).shape == (2, 0, 6)
