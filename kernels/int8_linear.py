"""A linear layer on int8 activations and int8 weights (W8A8): integer products, scales afterwards."""

import torch
from torch import Tensor


def int8_linear_ref(
    x: Tensor,
    x_scale: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """x int8 (M,I), x_scale (M,) float32, weight int8 (O,I), weight_scale (O,) float32, bias (O,) or None -> (M,O).

    The sums over I are exact integers. Each is rounded to float32 once, multiplied by the scale of its row, then by
    that of its channel, gets its bias and is rounded to `dtype`. `quantize_rows` makes x and x_scale, and the weight.
    """
    # float64 holds every integer up to 2^53, and matrices of it are multiplied fast everywhere.
    total = (x.double() @ weight.double().T).float()
    y = total * x_scale[:, None] * weight_scale
    return (y if bias is None else y + bias.float()).to(dtype)
