"""Layers of a post-norm transformer with every LayerNorm folded into the linear layers that read it.

Between layers goes the sum before the norm. Whoever reads it finds the norm's mean and deviation while multiplying, and
hands them on as `stats` to the next residual, which needs the norm itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import ops
from ..models.quantization import Numbers, quantize_weight


@dataclass(frozen=True)
class Precision:
    """dtype: of activations and weights. weights: 8-bit numbers for the weights instead, one scale an output."""

    dtype: torch.dtype
    weights: Numbers | None = None

    def store(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """weight (O,I) float32 -> as the kernels read it, and its scale (O,) float32 or None."""
        if self.weights is None:
            return weight.to(self.dtype).contiguous(), None
        return quantize_weight(weight, self.weights)


class NormLinear:
    """A LayerNorm and a linear layer (or several that read the same norm, side by side), for `ops.norm_linear`."""

    def __init__(self, norm: nn.LayerNorm, weight: Tensor, bias: Tensor, precision: Precision):
        weight, bias = weight.detach().float(), bias.detach().float()
        self.weight, self.weight_scale = precision.store(weight * norm.weight.detach().float())
        # Of the weight as it is stored, so that a constant row gives exactly the bias.
        self.fold = self.weight.float().sum(1)
        if self.weight_scale is not None:
            self.fold *= self.weight_scale
        self.bias = (bias + weight @ norm.bias.detach().float()).to(precision.dtype)
        self.eps = norm.eps

    def __call__(self, x: Tensor, activation: str = "none") -> tuple[Tensor, Tensor]:
        """x (M,I), before the norm -> (M,O), stats (M,2)."""
        return ops.norm_linear(x, self.weight, self.fold, self.bias, activation, self.eps, self.weight_scale)


class ResidualLinear:
    """A linear layer whose result is added to the residual stream, for `ops.linear_residual`.

    norm: the LayerNorm of the stream there, or None where the stream is not normalised.
    """

    def __init__(self, linear: nn.Linear, norm: nn.LayerNorm | None, precision: Precision):
        self.weight, self.weight_scale = precision.store(linear.weight.detach().float())
        self.bias = linear.bias.detach().to(precision.dtype)
        self.scale = self.shift = None
        if norm is not None:
            self.scale, self.shift = norm.weight.detach().float(), norm.bias.detach().float()

    def __call__(self, x: Tensor, residual: Tensor, stats: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """x (M,I), residual (M,O), stats (M,2) or None -> (M,O), or of `rows` (R,) int32 only (R,O)."""
        return ops.linear_residual(
            x, self.weight, self.bias, residual, stats, self.scale, self.shift, rows, self.weight_scale
        )


class SelfAttention:
    """Queries, keys and values of the normalised stream, and their attention.

    weight (3D,D), bias (3D,): all queries, then keys, then values. lengths count rows of a sample.
    """

    def __init__(
        self, norm: nn.LayerNorm, weight: Tensor, bias: Tensor, num_heads: int, mode: str, precision: Precision
    ):
        self.project = NormLinear(norm, weight, bias, precision)
        self.num_heads, self.mode = num_heads, mode

    def __call__(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B,L,D), before the norm -> attended (B*L,D), stats (B*L,2)."""
        project = self.project
        if project.weight_scale is not None:
            qkv, stats = project(x.flatten(0, 1))
            return attend(*qkv.unflatten(0, x.shape[:2]).chunk(3, dim=-1), lengths, self.mode, self.num_heads), stats
        attended, stats = ops.qkv_attention(
            x, project.weight, project.fold, project.bias, lengths, self.mode, self.num_heads, project.eps
        )
        return attended.flatten(0, 1), stats


def attend(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None, mode: str, num_heads: int, padded_queries: bool = True
) -> Tensor:
    """q (B,M,D), k, v (B,N,D) -> attended (B*M,D); padded_queries: see `ops.sequence_attention`."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    attended = ops.sequence_attention(q, k, v, lengths, mode, padded_queries=padded_queries)
    return attended.transpose(1, 2).flatten(0, 1).flatten(1)


class FeedForward:
    """Two linear maps with GELU between them; both read the stream normalised by the same norm."""

    def __init__(self, norm: nn.LayerNorm, expand: nn.Linear, contract: nn.Linear, precision: Precision):
        self.expand = NormLinear(norm, expand.weight, expand.bias, precision)
        self.contract = ResidualLinear(contract, norm, precision)

    def __call__(self, x: Tensor) -> Tensor:
        """x (M,D), before the norm -> (M,D), before the next."""
        hidden, stats = self.expand(x, "gelu")
        return self.contract(hidden, x, stats)
