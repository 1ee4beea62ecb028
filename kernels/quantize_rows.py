"""Rows of numbers as int8 with one scale each: activations on their way into `int8_linear`, and weights by channel."""

import torch
from torch import Tensor

# The smallest normal float32: GPUs may flush what lies below, so no scale does.
SMALLEST_SCALE = torch.finfo(torch.float32).tiny


def quantize_rows_ref(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (M,I), any float dtype -> int8 (M,I) in -127..127 and scale (M,) float32, x ~ int8 * scale.

    Symmetric: scale = max|row| / 127, and x / scale is rounded to the nearest integer, half to even. A row of zeros, or
    of numbers so small (below 1.5e-36) that its scale would not be a normal float32, gives zeros and scale 1. A row
    that holds NaN or an infinity gives zeros and scale NaN, so that all that is computed from it is NaN.
    """
    x = x.float()
    largest = x.abs().amax(dim=1)
    scale = largest / torch.full_like(largest, 127)  # by a number, a GPU would multiply with its rounded reciprocal
    scale = torch.where(scale < SMALLEST_SCALE, 1.0, scale).masked_fill(~largest.isfinite(), float("nan"))
    return (x / scale[:, None]).nan_to_num(nan=0.0).round().to(torch.int8), scale
