"""conv_residual against the block of the tokenizer."""

import pytest
import torch

from lamp_fast.kernels.conv_residual import conv_residual_ref
from lamp_fast.models.tokenizer import ResidualBlock


def block(width, dilation):
    torch.manual_seed(width + dilation)
    return ResidualBlock(width, dilation, dropout=0.0).double().requires_grad_(False)


def arguments(block):
    conv, out = block.conv1, block.conv2
    return conv.weight.permute(2, 0, 1), conv.bias, out.weight[:, :, 0], out.bias, conv.dilation[0]


# Sums of 3 C products well below 1; half precision rounds the hidden rows and the result of size 4.
@pytest.mark.parametrize("dtype, atol", [(torch.float32, 5e-6), (torch.float16, 6e-3), (torch.bfloat16, 5e-2)])
@pytest.mark.parametrize("width, dilation, t", [(48, 1, 1), (96, 3, 7), (192, 9, 49)])
def test_the_block_of_the_tokenizer(dtype, atol, width, dilation, t):
    module = block(width, dilation)
    x = torch.randn(2, t, width).to(dtype)
    weights = [value.to(dtype) if torch.is_tensor(value) else value for value in arguments(module)]
    got = conv_residual_ref(x, *weights)
    assert got.dtype == dtype
    expected = module(x.double().transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(got.double(), expected, atol=atol, rtol=0)


def test_a_padded_sample_gives_what_it_gives_alone():
    module = block(16, 3)
    x, lengths = torch.randn(3, 7, 16).double(), torch.tensor([7, 4, 1])
    for rows, length in zip(x, lengths):
        rows[length:] = float("nan")
    got = conv_residual_ref(x, *arguments(module), lengths=lengths)
    for rows, result, length in zip(x, got, lengths):
        alone = module(rows[None, :length].transpose(1, 2))[0].T
        torch.testing.assert_close(result[:length], alone, atol=1e-12, rtol=0)
        assert not result[length:].any()
