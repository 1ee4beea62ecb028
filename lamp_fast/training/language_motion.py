"""Train the language-motion model (stage B) on encoded clips and their texts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import LanguageMotionConfig
from ..data.encoded import EncodedClip, collate
from ..metrics.retrieval import text_to_motion_recall
from ..models.language_motion import LanguageMotionModel, PretrainingOptions
from ..models.text import TextTokenizer
from .loop import Batch, Objective
from .paraphrase import paraphrases
from .sampling import TextBalancedSampler, pick, pick_texts


class LanguageMotionObjective(Objective):
    """The four pretraining tasks: contrastive, matching, text generation, motion generation.

    wordings: how many paraphrases of a text are used; they count as the same text.
    """

    def __init__(
        self,
        config: LanguageMotionConfig,
        train: list[EncodedClip],
        validation: list[EncodedClip],
        text_tokenizer: TextTokenizer,
        options: PretrainingOptions | None = None,
        wordings: int = 1,
    ):
        super().__init__()
        self.model = LanguageMotionModel(config)
        self.options = options or PretrainingOptions()
        self.wordings = {text: paraphrases(text, wordings) for text in {t for clip in train for t in clip.texts}}
        self.text_tokenizer, self.clips, self.validation = text_tokenizer, train, validation
        self.sampler = TextBalancedSampler(train)

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        clips = [self.clips[i] for i in self.sampler.draw(size, draw, distinct=True)]
        texts = pick_texts(clips, draw)
        wordings = [pick(self.wordings[text], draw) for text in texts]
        ids, mask = self.text_tokenizer(wordings, self.model.config.max_pretraining_text_tokens, truncate=True)
        groups = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        encoded = collate(clips, self.model.config.num_queries, draw, pad_id=0)
        return {
            **encoded,
            "input_ids": ids,
            "attention_mask": mask,
            "text_ids": torch.tensor([groups[t] for t in texts]),
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return dict(vars(self.model(**batch, options=self.options)))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        return dict(vars(text_to_motion_recall(self.model, self.text_tokenizer, self.validation)))
