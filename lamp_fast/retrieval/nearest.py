"""The clips whose vectors have the largest inner products with a query: exactly, or nearly with faiss."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from ..errors import LampError
from ..files import new_file

Method = Literal["exact", "ivf", "hnsw"]
METHODS = ("exact", "ivf", "hnsw")

SMALL = 4096  # vectors that are multiplied faster than anything else is thought of
REDUCED = 64
SAMPLE = 20_000
ENOUGH = 0.8  # of the squared lengths, in the principal directions: with less, the bounds tell too little
ROUNDING = 1e-4


@dataclass(frozen=True)
class Hits:
    """The best row of each of the best clips, best first: rows, owners (K,) int64, scores (K,) float32."""

    rows: np.ndarray
    owners: np.ndarray
    scores: np.ndarray


class Neighbours(Protocol):
    def search(self, query: np.ndarray, k: int) -> Hits:
        """query (E,) float32 unit -> at most k clips."""
        ...


class Exact:
    """Every vector counts, few are multiplied whole.

    In the first `REDUCED` principal directions lies nearly all of a vector x; of the rest only its length r is kept. By
    Cauchy and Schwarz q.x <= q'.x' + |q - q'| r, one product of `REDUCED` + 1 numbers. The vectors whose bound reaches
    the k-th best score found so far, a few dozen, are multiplied whole. Any vectors give the exact result;
    where the principal directions hold too little, all are multiplied.

    vectors (W, E) float32, unit; owners (W,) int64: the clip of each.
    """

    def __init__(self, vectors: np.ndarray, owners: np.ndarray):
        self.vectors, self.owners = vectors, owners
        self._basis = None
        if len(vectors) > SMALL and vectors.shape[1] > REDUCED:
            sample = vectors[:: max(1, len(vectors) // SAMPLE)]
            values, directions = np.linalg.eigh(sample.T @ sample)
            if values[-REDUCED:].sum() > ENOUGH * values.sum():
                self._basis = np.ascontiguousarray(directions[:, -REDUCED:])
                self._reduced = self._reduce(vectors)

    def _reduce(self, vectors: np.ndarray) -> np.ndarray:
        inside = vectors @ self._basis
        outside = np.sqrt(np.maximum((vectors**2).sum(-1) - (inside**2).sum(-1), 0))
        return np.concatenate([inside, outside[..., None]], -1)

    def search(self, query: np.ndarray, k: int) -> Hits:
        if self._basis is None:
            return self._best(slice(None), query, k)
        bound = self._reduced @ self._reduce(query)
        first = min(len(bound) - 1, 8 * k + 64)
        found = self._best(np.argpartition(bound, -first)[-first:], query, k)
        if len(found.scores) < k:
            return self._best(slice(None), query, k)
        possible = np.flatnonzero(bound >= found.scores[-1] - ROUNDING)
        return self._best(possible if len(possible) < len(bound) // 4 else slice(None), query, k)

    def _best(self, rows: np.ndarray | slice, query: np.ndarray, k: int) -> Hits:
        scores = self.vectors[rows] @ query
        rows = np.arange(len(self.vectors)) if isinstance(rows, slice) else rows
        return best_of_each(rows, self.owners[rows], scores, k)


def best_of_each(rows: np.ndarray, owners: np.ndarray, scores: np.ndarray, k: int) -> Hits:
    """The k best clips, each by its best row; of equal scores the earlier row."""
    few = 8 * k + 64
    if len(scores) > SMALL > few:  # only those as good as the k-th clip among the best few are put in order
        top = np.argpartition(scores, -few)[-few:]
        found = best_of_each(rows[top], owners[top], scores[top], k)
        if len(found.scores) == k:
            good = scores >= found.scores[-1]
            rows, owners, scores = rows[good], owners[good], scores[good]
    order = np.lexsort((rows, -scores))
    _, first = np.unique(owners[order], return_index=True)
    chosen = order[np.sort(first)[:k]]
    return Hits(rows[chosen], owners[chosen], scores[chosen])


class Approximate:
    """faiss looks at a part of the vectors: `ivf` at the lists nearest to the query, `hnsw` along a graph."""

    def __init__(self, faiss_index, owners: np.ndarray):
        self._index, self.owners = faiss_index, owners

    @classmethod
    def build(cls, vectors: np.ndarray, owners: np.ndarray, method: Method) -> Approximate:
        """Raises ModuleNotFoundError without faiss."""
        import faiss

        count, width = vectors.shape
        if method == "hnsw":
            index = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efSearch = 128
        else:
            lists = max(1, min(round(4 * count**0.5), count // 40))  # faiss asks for 39 vectors a list
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
            index.nprobe = max(1, lists // 16)
            index.train(vectors)
        index.add(vectors)
        return cls(index, owners)

    def save(self, path: str | os.PathLike) -> None:
        import faiss

        with new_file(path) as file:
            faiss.write_index(self._index, str(file))

    @classmethod
    def load(cls, path: Path, owners: np.ndarray) -> Approximate:
        """Raises `LampError` for a file that is damaged or of other vectors, ModuleNotFoundError without faiss."""
        import faiss

        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise LampError(f"{path} is damaged; run lamp-fast index again") from error
        if index.ntotal != len(owners):
            raise LampError(f"{path} holds {index.ntotal} vectors, expected {len(owners)}; run lamp-fast index again")
        return cls(index, owners)

    def search(self, query: np.ndarray, k: int) -> Hits:
        asked = 4 * k
        while True:
            scores, rows = (found[0] for found in self._index.search(query[None], min(asked, len(self.owners))))
            scores, rows = scores[rows >= 0], rows[rows >= 0]
            hits = best_of_each(rows, self.owners[rows], scores, k)
            if len(hits.rows) == k or len(rows) < asked:
                return hits
            asked *= 4


def neighbours_file(generation: str) -> str:
    """Where what `Approximate.save` writes lies: under another name whenever the vectors changed."""
    return f"neighbours-{int(generation)}.faiss"


def best_of_queries(neighbours: Neighbours, queries: np.ndarray, k: int) -> Hits:
    """As `Neighbours.search`, a clip's score being its best for any of the queries (M, E)."""
    found = [neighbours.search(query, k) for query in queries]
    rows, owners, scores = (
        np.concatenate([getattr(hits, name) for hits in found]) for name in ("rows", "owners", "scores")
    )
    return best_of_each(rows, owners, scores, k)
