"""Retrieval protocols of TMR (`src/model/metrics.py`, `retrieval.py`) and of the released LaMP wrapper.

Rows of every similarity matrix are texts, columns motions, and pair i is (text i, motion i).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import LampError
from .matching import matching

RANKS = (1, 2, 3, 5, 10)
SAME_TEXT = 0.95  # TMR: texts whose similarity, of 0 to 1, is above count as one


@dataclass(frozen=True)
class Ranking:
    """Percent of queries that find their own among the first k, for k of `RANKS`; median of the ranks, from 1."""

    recall: Mapping[int, float]
    median_rank: float
    candidates: int


@dataclass(frozen=True)
class BothWays:
    text_to_motion: Ranking
    motion_to_text: Ranking


def all_pairs(similarity: np.ndarray) -> BothWays:
    """TMR (a) "normal": every text against every motion. similarity (N, N)."""
    return _both_ways(similarity, np.eye(len(_square(similarity)), dtype=bool))


def threshold(similarity: np.ndarray, texts: np.ndarray, same: float = SAME_TEXT) -> BothWays:
    """TMR (b): a motion whose text says the same is right too.

    texts (N, N): cosines of sentence embeddings; those above 2 same - 1 say the same. A text always says its own.
    """
    right = (np.asarray(texts) > 2 * same - 1) | np.eye(len(_square(similarity)), dtype=bool)
    return _both_ways(similarity, right)


def dissimilar_subset(similarity: np.ndarray, texts: np.ndarray, size: int = 100) -> BothWays:
    """TMR (c): the `size` pairs whose texts are least alike; texts (N, N) as in `threshold`.

    TMR ships a list of names that a solver of the quadratic knapsack problem found, for HumanML3D only. Here they are
    chosen greedily, for any data: first the two texts least alike, then always the one least like all those chosen.
    """
    chosen = least_alike(texts, size)
    return all_pairs(_square(similarity)[np.ix_(chosen, chosen)])


def least_alike(texts: np.ndarray, size: int) -> np.ndarray:
    """Indices (min(size, N),) of texts that are far from each other, greedily; texts (N, N) similarities."""
    texts = np.array(_square(texts), np.float64)
    np.fill_diagonal(texts, np.inf)
    if size >= len(texts):
        return np.arange(len(texts))
    chosen = list(np.unravel_index(texts.argmin(), texts.shape))
    total = texts[:, chosen].sum(1)
    while len(chosen) < size:
        chosen.append(int(total.argmin()))
        total += texts[:, chosen[-1]]
    return np.sort(chosen[:size])


def small_batches(similarity: np.ndarray, size: int = 32, shuffle: bool = True) -> BothWays:
    """TMR (d) "guo": each pair among `size`, the mean over batches; what does not fill a batch is left out.

    shuffle: in the order that TMR's seed 0 gives; False keeps the order of the pairs.
    """
    similarity = _square(similarity)
    order, size = np.arange(len(similarity)), min(size, len(similarity))
    if shuffle:
        np.random.RandomState(0).shuffle(order)
    batches = [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
    results = [all_pairs(similarity[np.ix_(batch, batch)]) for batch in batches]
    return BothWays(
        _mean([result.text_to_motion for result in results]), _mean([result.motion_to_text for result in results])
    )


def released_wrapper(text: np.ndarray, motion: np.ndarray, size: int = 32) -> BothWays:
    """LaMP's (`utils/eval_t2m.py`): text and motion (N, E) not normalised, Euclidean, batches of `size` in order.

    motion: the mean over queries. The release evaluates motion to text only, and no median rank.
    """
    rows = [matching(*pair, top=max(RANKS), group=size) for pair in ((text, motion), (motion, text))]
    return BothWays(
        *(Ranking({k: float(100 * m.precision[k - 1]) for k in RANKS}, float("nan"), size) for m in rows),
    )


def _both_ways(similarity: np.ndarray, right: np.ndarray) -> BothWays:
    similarity = _square(similarity)
    return BothWays(_ranking(similarity, right), _ranking(similarity.T, right))


def _ranking(scores: np.ndarray, right: np.ndarray) -> Ranking:
    """Rank of the best right one; those of the same score share the mean of their ranks, as TMR."""
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    ranks = (scores > best).sum(1) + ((scores == best).sum(1) + 1) / 2
    recall = {k: float(100 * (ranks - 1 < k).mean()) for k in RANKS}
    return Ranking(recall, float(np.median(ranks)), scores.shape[1])


def _mean(rankings: list[Ranking]) -> Ranking:
    recall = {k: float(np.mean([ranking.recall[k] for ranking in rankings])) for k in RANKS}
    return Ranking(recall, float(np.mean([r.median_rank for r in rankings])), rankings[0].candidates)


def _square(similarity: np.ndarray) -> np.ndarray:
    similarity = np.asarray(similarity)
    if similarity.ndim != 2 or len(set(similarity.shape)) != 1 or not similarity.size:
        raise LampError(
            f"similarities have shape {similarity.shape}, expected (N, N): texts by motions, pairs in order"
        )
    if not np.isfinite(similarity).all():
        raise LampError("similarities hold NaN or infinite values; look for motions that are not finite")
    return similarity
