"""How long a motion should be, from a CLIP feature of its text (MoMask `models/vq/model.py`, LengthEstimator)."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import LengthEstimatorConfig
from ..errors import LampError

SLOPE = 0.2


class LengthEstimator(nn.Module):
    """A classifier over lengths in tokens; class i means i tokens. `LengthPredictor` is LaMP's own, without CLIP."""

    def __init__(self, config: LengthEstimatorConfig):
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(config.text_dim, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(SLOPE),
            nn.Dropout(config.dropout),
            nn.Linear(width, width // 2),
            nn.LayerNorm(width // 2),
            nn.LeakyReLU(SLOPE),
            nn.Dropout(config.dropout),
            nn.Linear(width // 2, width // 4),
            nn.LayerNorm(width // 4),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width // 4, config.num_classes),
        )

    def forward(self, text: Tensor) -> Tensor:
        """text (B, text_dim), CLIP ViT-B/32 -> logits (B, num_classes). Raises LampError when the shape differs."""
        if text.ndim != 2 or text.shape[1] != self.config.text_dim:
            raise LampError(f"length estimator: text is {tuple(text.shape)}, expected (B, {self.config.text_dim})")
        return self.mlp(text)
