"""Train the length predictor on the conditions of the frozen language-motion model."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import LengthConfig
from ..data.encoded import EncodedClip
from ..models.length import LengthPredictor
from .loop import Batch, Objective
from .sampling import TextBalancedSampler, pick, pick_texts


class LengthObjective(Objective):
    """Cross entropy over lengths in tokens; longer clips count as the longest."""

    def __init__(
        self,
        config: LengthConfig,
        train: list[EncodedClip],
        validation: list[EncodedClip],
        conditions: dict[str, Tensor],
    ):
        super().__init__()
        self.model = LengthPredictor(config)
        self.clips, self.validation, self.conditions = train, validation, conditions
        self.sampler = TextBalancedSampler(train)

    def _lengths(self, clips: list[EncodedClip]) -> Tensor:
        return torch.tensor([min(len(c.codes), self.model.config.max_tokens) for c in clips])

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        clips = [self.clips[i] for i in self.sampler.draw(size, draw, distinct=False)]
        condition = torch.stack([pick(self.conditions[text], draw) for text in pick_texts(clips, draw)])
        return {"condition": condition, "lengths": self._lengths(clips)}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"total": self.model.loss(batch["condition"], batch["lengths"])}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean distance of the most likely length from the true one, in tokens."""
        device = next(self.model.parameters()).device
        condition = torch.stack([self.conditions[clip.texts[0]][0] for clip in self.validation]).to(device)
        predicted = self.model.predict(condition).cpu()
        return {"error_tokens": float((predicted - self._lengths(self.validation)).abs().float().mean())}
