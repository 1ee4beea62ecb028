"""Text-to-motion retrieval by distinct text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..data.encoded import EncodedClip
from ..models.language_motion import LanguageMotionModel
from ..models.text import TextTokenizer


@dataclass(frozen=True)
class Recall:
    """Share of distinct texts that find one of their motions among the first 1, 5, 10; and what chance would find.

    chance: the mean over texts of (motions that carry the text) / (all motions), which is R@1 of a random order.
    """

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    chance: float
    texts: int
    motions: int


@torch.no_grad()
def text_to_motion_recall(
    model: LanguageMotionModel, text_tokenizer: TextTokenizer, clips: list[EncodedClip]
) -> Recall:
    """Rank every clip for every distinct text by the cosine of the text and the query that fits best."""
    device = next(model.parameters()).device
    max_tokens = model.config.num_queries
    texts = sorted({text for clip in clips for text in clip.texts})
    ids, mask = text_tokenizer(texts, model.config.max_pretraining_text_tokens, truncate=True)
    text = model.text_embedding(ids.to(device), mask.to(device))

    motion = []
    for start in range(0, len(clips), 64):
        latents = [clip.latents[:max_tokens] for clip in clips[start : start + 64]]
        lengths = torch.tensor([len(x) for x in latents], device=device)
        motion.append(model.motion_features(pad_sequence(latents, batch_first=True).to(device), lengths))
    scores = torch.einsum("te,mqe->tmq", text, torch.cat(motion)).amax(-1).cpu()
    relevant = torch.tensor([[t in clip.texts for clip in clips] for t in texts])
    return recall(scores, relevant)


def recall(scores: Tensor, relevant: Tensor) -> Recall:
    """scores (texts, motions) and relevant (texts, motions) bool, at least one true in each row."""
    best = torch.where(relevant, scores, -torch.inf).amax(-1, keepdim=True)
    # A tie counts against us: a constant score must not look like a perfect one.
    rank = ((scores >= best) & ~relevant).sum(-1) + 1
    at = {k: float((rank <= k).float().mean()) for k in (1, 5, 10)}
    chance = float(relevant.float().mean())
    return Recall(at[1], at[5], at[10], float(rank.float().median()), chance, *scores.shape)
