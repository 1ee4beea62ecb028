"""Residual block of the motion decoder, channels last (released `models/vq/resnet.py`, ResConv1DBlock)."""

from torch import Tensor

from .conv1d import conv1d_ref, zero_beyond


def conv_residual_ref(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    dilation: int = 1,
    lengths: Tensor | None = None,
) -> Tensor:
    """x (B,T,C), conv_weight (3,C,C), conv_bias (C,), out_weight (C,C), out_bias (C,) -> (B,T,C).

    x + out_weight relu(conv(relu(x))) + out_bias, with three taps `dilation` rows apart. Weights are (out, in); lengths
    and memory as in `conv1d_ref`. The hidden rows have the dtype of x.
    """
    x = zero_beyond(x, lengths)
    hidden = conv1d_ref(x, conv_weight, conv_bias, dilation, relu_input=True, relu_output=True)
    return zero_beyond(conv1d_ref(hidden, out_weight[None], out_bias, residual=x), lengths)
