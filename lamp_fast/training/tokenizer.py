"""Train the motion tokenizer (stage A)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import TokenizerConfig
from ..data import MotionDataset, normalisation
from ..errors import LampError
from ..metrics.reconstruction import reconstruction_errors
from ..models.tokenizer import DeadCodes, MotionTokenizer
from .loop import Batch, Objective


class TokenizerObjective(Objective):
    """Windows of real motion, reconstructed through the codebook.

    windows: window lengths in frames, one of which is drawn for each batch; a batch always holds about
    `batch_size * windows[0]` frames. As released: (196,), which leaves shorter clips out.
    """

    def __init__(
        self,
        config: TokenizerConfig,
        train: MotionDataset,
        validation: MotionDataset,
        *,
        windows: tuple[int, ...] = (64,),
        path: float = 0.001,
        dead_codes: DeadCodes = "random",
    ):
        super().__init__()
        self.model = MotionTokenizer(config)
        self.windows, self.path, self.dead_codes, self.validation = windows, path, dead_codes, validation
        self.mean, self.std = normalisation(train)
        self.clips = [torch.from_numpy((c.features - self.mean) / self.std) for c in train.clips]
        frames = torch.tensor([len(clip) for clip in self.clips])
        # By length, and a text with n frames in proportion to sqrt(n), as `TextBalancedSampler`: the many recordings of
        # a few movements would otherwise take the codes that rare movements need.
        texts: dict[str, int] = {}
        for clip in train.clips:
            texts[clip.texts[0]] = texts.get(clip.texts[0], 0) + len(clip.features)
        share = torch.tensor([texts[clip.texts[0]] ** -0.5 for clip in train.clips]).double()
        self.weights = {w: torch.where(frames >= w, frames, 0) * share for w in windows}
        for window, weights in self.weights.items():
            if not weights.any():
                raise LampError(f"no training clip has {window} frames; choose a shorter window")

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        window = self.windows[int(torch.randint(len(self.windows), (), generator=draw))]
        size = max(1, size * self.windows[0] // window)
        chosen = torch.multinomial(self.weights[window], size, replacement=True, generator=draw)
        spots = torch.rand(size, generator=draw)
        crops = []
        for index, spot in zip(chosen.tolist(), spots.tolist(), strict=True):
            start = int(spot * (len(self.clips[index]) - window + 1))
            crops.append(self.clips[index][start : start + window])
        return {"features": torch.stack(crops)}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return dict(vars(self.model.loss(batch["features"], path=self.path, dead_codes=self.dead_codes)))

    def training_state(self) -> dict[str, Tensor]:
        return self.model.codebook.training_state()

    def evaluate(self) -> dict[str, float]:
        return dict(vars(reconstruction_errors(self.model, self.validation, self.mean, self.std)))
