"""Train an evaluator where that of Guo et al. cannot be had: their networks, over word pieces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.evaluator import Evaluator
from ..config import FRAMES_PER_TOKEN
from ..data import Caption, Clip, MotionDataset
from ..metrics.embed import FRAMES, EvaluatorEmbedder, pad_motions, pad_words
from ..metrics.matching import matching
from .loop import Batch, Objective
from .paraphrase import paraphrases
from .sampling import TextBalancedSampler, pick, pick_texts

MARGIN = 10.0


class EvaluatorObjective(Objective):
    """Pairs of a motion and its text come close, all others of a batch are pushed beyond a margin of 10.

    As Guo et al. (text-to-motion, ContrastiveLoss), but with every wrong pair of the batch instead of one, and with the
    movement encoder learnt along instead of taken from an auto-encoder. Texts are equal if one paraphrases the other.
    """

    def __init__(self, evaluator: Evaluator, train: MotionDataset, validation: MotionDataset, wordings: int = 1):
        super().__init__()
        self.model, self.evaluator = evaluator.model, evaluator
        self.embedder = EvaluatorEmbedder(evaluator)
        self.clips = [clip for clip in train.clips if len(clip.features) >= FRAMES_PER_TOKEN]
        self.validation = [clip for clip in validation.clips if len(clip.features) >= FRAMES_PER_TOKEN]
        self.wordings = {text: paraphrases(text, wordings) for text in train.texts}
        self.sampler = TextBalancedSampler(self.clips)

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        clips = [self.clips[i] for i in self.sampler.draw(size, draw, distinct=True)]
        texts = pick_texts(clips, draw)
        read = [self.embedder.read(Caption(pick(self.wordings[text], draw))) for text in texts]
        words, speech, word_counts = pad_words(read, self.evaluator)
        features, lengths = pad_motions([_crop(clip, draw) for clip in clips], self.evaluator)
        groups = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        return {
            "features": features,
            "lengths": lengths,
            "words": words,
            "speech": speech,
            "word_counts": word_counts,
            "text_ids": torch.tensor([groups[text] for text in texts]),
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        motion = self.model.motion_embedding(batch["features"], batch["lengths"]).float()
        text = self.model.text_embedding(batch["words"], batch["speech"], batch["word_counts"]).float()
        squares = (text[:, None] - motion).square().sum(-1)
        own = torch.eye(len(text), dtype=torch.bool, device=text.device)
        wrong = batch["text_ids"][:, None] != batch["text_ids"]
        near = (MARGIN - (squares + 1e-8).sqrt()).clamp(min=0).square()
        pull, push = squares[own].mean(), near[wrong].sum() / wrong.sum().clamp(min=1)
        return {"total": pull + push, "pull": pull, "push": push}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """R-precision on validation clips, in groups of 32 in a fixed order."""
        order = np.random.default_rng(0).permutation(len(self.validation))
        clips = [self.validation[i] for i in order]
        text = self.embedder.texts([clip.captions[0] for clip in clips])
        motion = self.embedder.motions([torch.from_numpy(clip.features) for clip in clips])
        result = matching(text, motion)
        return {"top1": float(result.precision[0]), "top3": float(result.precision[2]), "distance": result.distance}


def _crop(clip: Clip, draw: torch.Generator) -> Tensor:
    """At most as many frames as the evaluator reads, from a random place."""
    spare = len(clip.features) - FRAMES
    start = int(torch.randint(spare + 1, (), generator=draw)) if spare > 0 else 0
    return torch.from_numpy(clip.features[start : start + FRAMES])
