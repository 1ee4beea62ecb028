"""Nearest upsampling by two and a convolution of three taps as one step, channels last."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .conv1d import zero_beyond


def merge_upsample_weight(weight: Tensor) -> Tensor:
    """weight (O,I,3) of a convolution behind a nearest upsampling by two -> (2,2,O,I), by phase and tap.

    Each input row stands twice in the upsampled sequence, so two of the three taps fall on the same row and are added:
    an even output row sees x[t-1] and x[t], an odd one x[t] and x[t+1].
    """
    before, middle, after = weight.unbind(2)
    even, odd = torch.stack((before, middle + after)), torch.stack((before + middle, after))
    return torch.stack((even, odd))


def upsample_conv_ref(x: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor | None = None) -> Tensor:
    """x (B,T,I), weight (2,2,O,I) of `merge_upsample_weight`, bias (O,) -> (B,2T,O).

    out[2t + phase] = bias + weight[phase,0] x[t + phase - 1] + weight[phase,1] x[t + phase], zeros outside (released
    `models/vq/encdec.py`, Decoder). lengths (B,), of x: rows at or beyond it are read as zero; from twice it on, the
    result is zero. float32 sums; memory of the weight as in `conv1d_ref`.
    """
    t = x.shape[1]
    x = F.pad(zero_beyond(x, lengths), (0, 0, 1, 1))
    even, odd = (
        F.linear(torch.cat((x[:, p : p + t], x[:, p + 1 : p + 1 + t]), dim=2), taps.transpose(0, 1).flatten(1), bias)
        for p, taps in enumerate(weight)
    )
    rows = torch.stack((even, odd), dim=2).flatten(1, 2)
    return rows if lengths is None else zero_beyond(rows, 2 * lengths)
