"""Whether each motion is nearest to its own text: R-precision and the matching distance (MM-Dist).

As released (`utils/metrics.py`, `utils/eval_t2m.py`). Over the embeddings of Guo et al. they are the usual measures;
over those of LaMP the first is LaMP-R-precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import LampError

GROUP = 32


@dataclass(frozen=True)
class Matching:
    """hits (top,): how many of `pairs` rows find their own among the nearest 1..top of their group; mean distance."""

    hits: np.ndarray
    distance: float
    pairs: int

    @property
    def precision(self) -> np.ndarray:
        """(top,) shares of the pairs, float64."""
        return self.hits / self.pairs


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (N, D), b (M, D) -> Euclidean distances (N, M) float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.sqrt((np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T).clip(0))


def matching(queries: np.ndarray, candidates: np.ndarray, top: int = 3, group: int = GROUP) -> Matching:
    """Pairs queries[i], candidates[i], each (N, D), in groups of `group` in this order; a rest is left out.

    As released. A set smaller than one group is one group. Ties count against us.
    Raises LampError for shapes that differ, no pairs, or embeddings that are not finite.
    """
    queries, candidates = np.asarray(queries), np.asarray(candidates)
    if queries.ndim != 2 or queries.shape != candidates.shape or not len(queries):
        raise LampError(f"pairs need embeddings of one shape (N, D), found {queries.shape} and {candidates.shape}")
    if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
        raise LampError("embeddings hold NaN or infinite values; look for motions that are not finite")
    group = min(group, len(queries))
    hits, total, pairs = np.zeros(top, np.int64), 0.0, len(queries) // group * group
    for start in range(0, pairs, group):
        table = distances(queries[start : start + group], candidates[start : start + group])
        own = np.diag(table)
        ranks = (table <= own[:, None]).sum(1)  # from 1: one's own is counted
        hits += (ranks[:, None] <= np.arange(1, top + 1)).sum(0)
        total += own.sum()
    return Matching(hits, float(total / pairs), pairs)
