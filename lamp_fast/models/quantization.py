"""Linear layers with 8-bit weights, computed anywhere with the numbers that the kernels compute with.

This is how the accuracy of a scheme is judged without a GPU (`benchmarks/quantization_gate.py`), not how it gets fast.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from .. import ops
from ..errors import LampError
from ..kernels.quantize_rows import SMALLEST_SCALE
from .generator import MotionGenerator

Numbers = Literal["int8", "fp8"]
Scheme = Literal["w8a16-int8", "w8a8-int8", "w8a16-fp8"]
SCHEMES: tuple[Scheme, ...] = ("w8a16-int8", "w8a8-int8", "w8a16-fp8")


def quantize_weight(weight: Tensor, dtype: Numbers) -> tuple[Tensor, Tensor]:
    """weight (O,I) float -> int8 or float8_e4m3fn (O,I), and scale (O,) float32 with weight ~ weight8 * scale[:, None].

    The largest weight of each output channel falls on the largest number there is, 127 or 448; a channel of zeros has
    scale 1. Raises LampError for another dtype and for weights that are not finite.
    """
    if not weight.isfinite().all():
        raise LampError("quantize_weight: the weight holds NaN or infinite values; train or download it again")
    if dtype == "int8":
        return ops.quantize_rows(weight.detach())
    if dtype != "fp8":
        raise LampError(f"quantize_weight: dtype is {dtype!r}, expected 'int8' or 'fp8'")
    weight, limit = weight.detach().float(), torch.finfo(torch.float8_e4m3fn)
    scale = weight.abs().amax(dim=1) / limit.max
    scale = torch.where(scale < SMALLEST_SCALE, 1.0, scale)
    return (weight / scale[:, None]).clamp(limit.min, limit.max).to(torch.float8_e4m3fn), scale


class QuantizedLinear(nn.Module):
    """A linear layer by a scheme.

    w8a16: activations as they come times the 8-bit weights, sums in float32; the scale of the channel and the bias
    afterwards, in float32. w8a8: activations as int8 with a scale for each row, sums exact (`ops.int8_linear`).
    """

    def __init__(self, linear: nn.Linear, scheme: Scheme) -> None:
        super().__init__()
        self.int8_activations = scheme == "w8a8-int8"
        weight8, scale = quantize_weight(linear.weight, "fp8" if scheme == "w8a16-fp8" else "int8")
        self.register_buffer("weight8", weight8)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """x (...,I) of any float dtype -> (...,O) of the same."""
        rows = x.flatten(0, -2)
        if self.int8_activations:
            y = ops.int8_linear(*ops.quantize_rows(rows), self.weight8, self.scale, self.bias, x.dtype)
        else:
            y = (rows.float() @ self.weight8.float().T) * self.scale
            y = (y if self.bias is None else y + self.bias).to(x.dtype)
        return y.unflatten(0, x.shape[:-1])


def quantize_generator(model: MotionGenerator, scheme: Scheme, dtype: torch.dtype = torch.bfloat16) -> MotionGenerator:
    """A copy of `model` in `dtype`, the linear layers of its transformer and its head by the scheme.

    The two input projections, which the engine keeps as tables, stay in `dtype`. Raises LampError for an unknown scheme
    and for weights that are not finite.
    """
    if scheme not in SCHEMES:
        raise LampError(f"there is no quantisation scheme {scheme!r}; choose one of {', '.join(SCHEMES)}")
    quantized = deepcopy(model).to(dtype)
    for part in ("layers", "head"):
        for name, module in model.get_submodule(part).named_modules(prefix=part):
            if isinstance(module, nn.Linear):
                quantized.set_submodule(name, QuantizedLinear(module, scheme))
    return quantized
