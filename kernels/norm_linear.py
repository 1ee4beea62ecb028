"""LayerNorm and the linear layer after it in one: the norm's weights lie in the linear layer's already."""

import torch
import torch.nn.functional as F
from torch import Tensor


def norm_linear_ref(
    x: Tensor,
    weight: Tensor,
    fold: Tensor,
    bias: Tensor,
    activation: str,
    eps: float,
    weight_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """x (M,I), weight (O,I), fold (O,) float32, bias (O,) -> y (M,O) of x's dtype, stats (M,2) float32.

    For a linear layer V, c after a LayerNorm with weight g and bias b: weight = V diag(g), fold = sum of weight over I,
    bias = c + V b; then y = activation((x @ weight.T - mean * fold) / std + bias), which is V LayerNorm(x) + c.
    stats are the mean and 1 / sqrt(biased variance + eps) of each row. activation: "none", or "gelu" with erf.
    weight_scale (O,) float32: weight is int8 or float8_e4m3fn and stands for weight * weight_scale[:, None].

    fold has to be that of the weight as it is stored and scaled, rounded as it is. Sums are float32 (float64 for x in
    float64). Source: Ba et al. 2016, multiplied out.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    rows, matrix = x.to(wide), weight.to(wide)
    mean = rows.mean(dim=1)
    rstd = ((rows - mean[:, None]).square().mean(dim=1) + eps).rsqrt()
    product = rows @ matrix.T
    if weight_scale is not None:
        product = product * weight_scale
    y = rstd[:, None] * (product - mean[:, None] * fold) + bias.to(wide)
    if activation == "gelu":
        y = F.gelu(y)
    return y.to(x.dtype), torch.stack((mean, rstd), dim=1)
