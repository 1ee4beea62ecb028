"""How long a motion should be, from its text condition."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LengthConfig
from ..errors import LampError


class LengthPredictor(nn.Module):
    """A classifier over lengths of 1..max_tokens tokens; class i means i + 1 tokens."""

    def __init__(self, config: LengthConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(config.condition_dim, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, config.max_tokens),
        )

    def forward(self, condition: Tensor) -> Tensor:
        """condition (B,C) float -> logits (B,max_tokens). Raises LampError when the shape differs."""
        if condition.ndim != 2 or condition.shape[1] != self.config.condition_dim:
            raise LampError(
                f"length predictor: condition is {tuple(condition.shape)}, expected (B, {self.config.condition_dim})"
            )
        return self.mlp(condition)

    def loss(self, condition: Tensor, lengths: Tensor) -> Tensor:
        """Cross entropy, a scalar: condition (B,C), lengths (B,) int64 in 1..max_tokens."""
        return F.cross_entropy(self(condition).float(), lengths - 1)

    @torch.no_grad()
    def predict(self, condition: Tensor) -> Tensor:
        """condition (B,C) -> the most likely lengths (B,) int64, in tokens."""
        return self(condition).argmax(dim=-1) + 1
