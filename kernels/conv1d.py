"""Convolution over time, channels last, with what stands around it in the motion decoder."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Up to here a CPU spends its time on the weights, and a matrix product reads them as they lie.
FEW_ROWS = 256


def conv1d_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    dilation: int = 1,
    relu_input: bool = False,
    relu_output: bool = False,
    residual: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """x (B,T,I), weight (taps,O,I) with an odd number of taps, bias (O,), residual (B,T,O) -> (B,T,O).

    out[t] = bias + sum over taps of weight[tap] x[t + (tap - taps // 2) dilation], zeros outside; then the residual is
    added. The rectifiers come before and after all of that (released `models/vq/resnet.py`, `encdec.py`).
    lengths (B,) integer, or None: rows at or beyond a sample's length are read as zero, whatever they hold, and are
    zero in the result, so that a padded sample gives what it gives alone.

    float32 sums. A weight whose memory is (O,taps,I), as `weight.permute(1, 0, 2)` has it, is used without a copy.
    """
    x = zero_beyond(x, lengths)
    y = _convolve(F.relu(x) if relu_input else x, weight, bias, dilation)
    if residual is not None:
        y = y + residual
    return zero_beyond(F.relu(y) if relu_output else y, lengths)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    taps, (batch, t, _) = len(weight), x.shape
    padding = taps // 2 * dilation
    if batch * t <= FEW_ROWS or taps == 1:
        x = F.pad(x, (0, 0, padding, padding))
        shifted = torch.cat([x[:, tap * dilation : tap * dilation + t] for tap in range(taps)], dim=2)
        return F.linear(shifted, weight.transpose(0, 1).flatten(1), bias)
    # Two dimensions, because torch has channels last only there.
    image, kernel = x.transpose(1, 2).unsqueeze(2), weight.permute(1, 2, 0).unsqueeze(2)
    return F.conv2d(image, kernel, bias, padding=(0, padding), dilation=(1, dilation)).squeeze(2).transpose(1, 2)


def zero_beyond(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (B,T,C) with zeros at and beyond each sample's length."""
    if lengths is None:
        return x
    beyond = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
    return torch.where(beyond[:, :, None], 0.0, x)
