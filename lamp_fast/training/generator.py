"""Train the masked transformer (stage C) on the codes of clips, conditioned by the frozen language-motion model."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import GeneratorConfig
from ..data.encoded import EncodedClip, collate
from ..models.generator import MotionGenerator
from ..models.language_motion import LanguageMotionModel
from ..models.text import TextTokenizer
from .loop import Batch, Objective
from .paraphrase import paraphrases
from .sampling import TextBalancedSampler, pick, pick_texts


@torch.no_grad()
def text_conditions(
    model: LanguageMotionModel, text_tokenizer: TextTokenizer, clips: list[EncodedClip], wordings: int = 1
) -> dict[str, Tensor]:
    """The conditions (P, D) of every distinct text, one for each of at most `wordings` paraphrases, its own first.

    The model is frozen, so each is computed once.
    """
    model.eval()
    device = next(model.parameters()).device
    conditions: dict[str, Tensor] = {}
    reworded = {text: paraphrases(text, wordings) for clip in clips for text in clip.texts}
    texts = sorted({wording for same in reworded.values() for wording in same})
    for start in range(0, len(texts), 64):
        chunk = texts[start : start + 64]
        ids, mask = text_tokenizer(chunk, model.config.max_text_tokens, truncate=True)
        conditions |= dict(zip(chunk, model.condition(ids.to(device), mask.to(device)).cpu(), strict=True))
    return {text: torch.stack([conditions[w] for w in same]) for text, same in reworded.items()}


class GeneratorObjective(Objective):
    """Masked-token prediction: L_mask = -log p(m_k | visible tokens, text) over masked positions k."""

    def __init__(
        self,
        config: GeneratorConfig,
        train: list[EncodedClip],
        validation: list[EncodedClip],
        conditions: dict[str, Tensor],
    ):
        super().__init__()
        self.model = MotionGenerator(config)
        self.clips, self.validation, self.conditions = train, validation, conditions
        self.sampler = TextBalancedSampler(train)

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        return self._collate([self.clips[i] for i in self.sampler.draw(size, draw, distinct=False)], draw)

    def _collate(self, clips: list[EncodedClip], draw: torch.Generator) -> Batch:
        batch = collate(clips, self.model.config.max_tokens, draw, self.model.config.pad_id)
        condition = torch.stack([pick(self.conditions[text], draw) for text in pick_texts(clips, draw)])
        return {"ids": batch["codes"], "lengths": batch["lengths"], "condition": condition}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        result = self.model.loss(batch["ids"], batch["condition"], batch["lengths"])
        return {"total": result.loss, "accuracy": result.accuracy}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Loss and accuracy on every validation clip, with masks that are the same at each call."""
        device = next(self.model.parameters()).device
        draw = torch.Generator().manual_seed(0)
        masks = torch.Generator(device).manual_seed(0)
        loss = accuracy = 0.0
        for start in range(0, len(self.validation), 64):
            clips = self.validation[start : start + 64]
            batch = {k: v.to(device) for k, v in self._collate(clips, draw).items()}
            result = self.model.loss(batch["ids"], batch["condition"], batch["lengths"], generator=masks)
            loss += float(result.loss) * len(clips) / len(self.validation)
            accuracy += float(result.accuracy) * len(clips) / len(self.validation)
        return {"loss": loss, "accuracy": accuracy}
