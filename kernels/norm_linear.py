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

    fold is for kernels, and has to be that of the weight as it is stored and scaled, rounded as it is. Sums are float32
    (float64 for x in float64), as those of `F.linear` are. Source: Ba et al. 2016, multiplied out.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normal, mean, rstd = torch.native_layer_norm(wide, x.shape[1:], None, None, eps)
    y = scaled_linear(normal.to(x.dtype), weight, bias, weight_scale)
    return F.gelu(y) if activation == "gelu" else y, torch.cat((mean, rstd), dim=1)


def scaled_linear(x: Tensor, weight: Tensor, bias: Tensor, weight_scale: Tensor | None) -> Tensor:
    """x (M,I) @ (weight * weight_scale[:, None]).T + bias, of x's dtype."""
    weight = weight.to(x.dtype)
    if weight_scale is None:
        return F.linear(x, weight, bias.to(x.dtype))
    product = F.linear(x, weight).to(torch.promote_types(x.dtype, torch.float32))
    return torch.addcmul(bias.to(product.dtype), product, weight_scale.to(product.dtype)).to(x.dtype)
