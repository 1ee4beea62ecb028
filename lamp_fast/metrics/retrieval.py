"""Retrieval: by distinct text, and by the protocols of TMR and of the release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..data import Caption, Clip
from ..data.encoded import EncodedClip
from ..errors import LampError
from ..models.language_motion import LanguageMotionModel
from ..models.text import TextTokenizer
from . import protocols
from .embed import LampEmbedder
from .interval import Interval, confidence_interval

RETRIEVAL_COLUMNS = (*(f"R@{k}" for k in protocols.RANKS), "MedR", "of")
CHUNK = 64


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


def measure_retrieval(
    embedder: LampEmbedder, clips: Sequence[Clip], whole: Sequence[Clip], replications: int = 20, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Rows of percentages, `RETRIEVAL_COLUMNS`, by protocol and direction; a score is the cosine of a text and of the
    query that fits it best, but in the released protocol.

    Distinct texts: each text of the `whole` clips finds any of its motions; beside it, what chance finds. The others
    take the first text of each of `clips`. TMR asks a sentence model which texts are alike. Here texts are the same
    where they are equal, and the dissimilar subset is chosen by the model's own embeddings. Batches of 32 are drawn
    anew in each replication, the first as TMR's seed draws them; the released ones are those of the data's order.
    Raises LampError without replications.
    """
    if replications < 1:
        raise LampError(f"replications is {replications}, expected at least 1")
    texts = [clip.captions[0] for clip in clips]
    text, queries = embedder.texts(texts), embedder.queries([torch.from_numpy(clip.features) for clip in clips])
    scores = best_query(text, queries)
    unit = _unit(text)
    number = {words: i for i, words in enumerate(dict.fromkeys(caption.text for caption in texts))}
    numbers = np.array([number[caption.text] for caption in texts])
    orders = [np.random.default_rng(seed + i).permutation(len(clips)) for i in range(replications)]
    shuffled = [scores[np.ix_(order, order)] for order in orders[1:]]
    batches = [protocols.small_batches(scores), *(protocols.small_batches(s, shuffle=False) for s in shuffled)]
    results = {
        "all": [protocols.all_pairs(scores)],
        "equal texts": [protocols.threshold(scores, (numbers[:, None] == numbers).astype(np.float64))],
        "dissimilar": [protocols.dissimilar_subset(scores, unit @ unit.T)],
        "batches of 32": batches,
        "released": [protocols.released_wrapper(text, queries.mean(1))],
    }
    rows = _distinct_texts(embedder, whole)
    for name, several in results.items():
        for way in ("text_to_motion", "motion_to_text"):
            rows[f"{name}, {way.replace('_', ' ')}"] = _row([getattr(both, way) for both in several])
    return rows


def best_query(text: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """text (M, E), queries (N, Q, E) -> cosines (M, N) of each text and the query of each motion that fits it best."""
    text, queries = torch.from_numpy(_unit(text)), torch.from_numpy(_unit(queries))
    return torch.cat(
        [(q.flatten(0, 1) @ text.T).unflatten(0, q.shape[:2]).amax(1) for q in queries.split(CHUNK)]
    ).T.numpy()


def _distinct_texts(embedder: LampEmbedder, clips: Sequence[Clip]) -> dict[str, dict[str, Interval]]:
    texts = sorted({text for clip in clips for text in clip.texts})
    motions = [torch.from_numpy(clip.features) for clip in clips]
    scores = best_query(embedder.texts([Caption(text) for text in texts]), embedder.queries(motions))
    relevant, rows = torch.zeros(scores.shape, dtype=torch.bool), {text: i for i, text in enumerate(texts)}
    for column, clip in enumerate(clips):
        relevant[[rows[text] for text in clip.texts], column] = True
    found = recall(torch.from_numpy(scores), relevant)
    shares = {"R@1": found.recall_at_1, "R@5": found.recall_at_5, "R@10": found.recall_at_10}
    row = {name: 100 * share for name, share in shares.items()} | {"MedR": found.median_rank, "of": found.motions}
    return {
        f"{found.texts} distinct texts, text to motion": {k: confidence_interval([v]) for k, v in row.items()},
        "by chance": {"R@1": confidence_interval([100 * found.chance])},
    }


def _row(rankings: Sequence[protocols.Ranking]) -> dict[str, Interval]:
    row = {f"R@{k}": confidence_interval([ranking.recall[k] for ranking in rankings]) for k in protocols.RANKS}
    if not np.isnan(rankings[0].median_rank):
        row["MedR"] = confidence_interval([ranking.median_rank for ranking in rankings])
    return row | {"of": confidence_interval([rankings[0].candidates])}


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
