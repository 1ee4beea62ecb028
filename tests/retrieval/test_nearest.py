"""The best clips for a query, against the plainest way to find them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamp_fast import LampError
from lamp_fast.retrieval.nearest import SMALL, Approximate, Exact, best_of_queries


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def clustered(draw, count, width, centres=20, spread=0.3):
    return unit(
        draw.normal(size=(centres, width))[draw.integers(0, centres, count)] + spread * draw.normal(size=(count, width))
    )


def plain(vectors, owners, query, k):
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    best = np.full(owners.max() + 1, -np.inf)
    np.maximum.at(best, owners, scores)
    return np.sort(best[np.isfinite(best)])[::-1][:k]


@pytest.mark.parametrize("count,width", [(1, 16), (7, 16), (SMALL + 905, 16), (SMALL + 905, 96), (3 * SMALL, 256)])
@pytest.mark.parametrize("kind", ["clustered", "directionless", "equal"])
def test_exact_is_exact(count, width, kind):
    draw = np.random.default_rng(count + width)
    vectors = clustered(draw, count, width) if kind == "clustered" else unit(draw.normal(size=(count, width)))
    if kind == "equal":
        vectors = np.repeat(vectors[:1], count, 0)
    owners = np.sort(draw.integers(0, max(count // 3, 1), count))
    neighbours = Exact(vectors, owners)
    for query in unit(np.concatenate([draw.normal(size=(3, width)), vectors[:2]])):
        for k in (1, 10, 63):
            hits = neighbours.search(query, k)
            np.testing.assert_allclose(hits.scores, plain(vectors, owners, query, k), atol=1e-6)  # sums in float32
            assert len(set(hits.owners.tolist())) == len(hits.owners)
            assert (owners[hits.rows] == hits.owners).all()
            assert (np.diff(hits.scores) <= 0).all()


def test_more_results_than_clips():
    vectors = unit(np.random.default_rng(0).normal(size=(SMALL + 1, 80)))
    assert len(Exact(vectors, np.arange(SMALL + 1) % 5).search(vectors[0], 10).rows) == 5


def test_few_vectors_are_multiplied_whole(monkeypatch):
    draw = np.random.default_rng(1)
    vectors = clustered(draw, 5 * SMALL, 256, centres=40, spread=0.02)
    neighbours, rows = Exact(vectors, np.arange(len(vectors))), []
    best = Exact._best
    monkeypatch.setattr(Exact, "_best", lambda self, r, *a: (rows.append(r), best(self, r, *a))[1])
    neighbours.search(vectors[0], 10)
    assert not any(isinstance(r, slice) for r in rows)
    assert sum(map(len, rows)) < len(vectors) // 4


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 12), st.integers(0, 10**6))
def test_best_of_several_queries(count, queries, k, seed):
    draw = np.random.default_rng(seed)
    vectors, asked = unit(draw.normal(size=(count, 8))), unit(draw.normal(size=(queries, 8)))
    owners = draw.integers(0, 9, count)
    hits = best_of_queries(Exact(vectors, owners), asked, k)
    expected = np.sort([(vectors[owners == o] @ asked.T).max() for o in np.unique(owners)])[::-1][:k]
    np.testing.assert_allclose(hits.scores, expected, atol=1e-6)


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_faiss(method, tmp_path):
    pytest.importorskip("faiss", reason="faiss is not installed (the extra `search`)")
    draw = np.random.default_rng(2)
    vectors = clustered(draw, 3000, 32)
    owners = np.arange(3000) // 2
    Approximate.build(vectors, owners, method).save(tmp_path / "n.faiss")
    neighbours, exact = Approximate.load(tmp_path / "n.faiss", owners), Exact(vectors, owners)
    same = [set(neighbours.search(v, 10).owners) & set(exact.search(v, 10).owners) for v in vectors[::100]]
    assert np.mean([len(s) for s in same]) >= 9
    for k in (1, 2000):  # more than there are, too
        hits = neighbours.search(vectors[0], k)
        assert len(set(hits.owners.tolist())) == len(hits.owners) <= k and hits.owners[0] == 0
    with pytest.raises(LampError, match="holds 3000 vectors, expected 5"):
        Approximate.load(tmp_path / "n.faiss", owners[:5])
    (tmp_path / "n.faiss").write_bytes(b"not this")
    with pytest.raises(LampError, match="damaged"):
        Approximate.load(tmp_path / "n.faiss", owners)
