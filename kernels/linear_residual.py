"""A linear layer added to its residual, which may have to be normalised first, for all rows or for chosen ones."""

import torch
from torch import Tensor

from .norm_linear import scaled_linear


def linear_residual_ref(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor,
    stats: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    rows: Tensor | None = None,
    weight_scale: Tensor | None = None,
) -> Tensor:
    """x (M,I), weight (O,I), bias (O,), residual (M,O) -> x @ weight.T + bias + residual, (M,O) of x's dtype.

    stats (M,2) float32, scale (O,), shift (O,), all three or none: the residual is normalised on the way,
    (residual - stats[:, 0]) * stats[:, 1] * scale + shift, with the mean and 1 / standard deviation of `norm_linear`.
    rows (R,) int32: only these rows are computed, (R,O); a negative one gives some finite result.
    weight_scale (O,) float32: weight is int8 or float8_e4m3fn and stands for weight * weight_scale[:, None].

    Sums are float32 (float64 for x in float64). Source: the end of each half of `torch.nn.TransformerEncoderLayer`,
    without the norm that follows.
    """
    if rows is not None:
        rows = rows.long().clamp(min=0)
        x, residual, stats = x[rows], residual[rows], None if stats is None else stats[rows]
    y = scaled_linear(x, weight, bias, weight_scale)
    if stats is None:
        return y + residual
    normal = (residual.to(torch.promote_types(x.dtype, torch.float32)) - stats[:, :1]) * stats[:, 1:]
    return torch.addcmul(y + shift, normal, scale.to(normal.dtype)).to(x.dtype)
