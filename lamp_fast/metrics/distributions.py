"""Measures of a set of motions as a whole, over the embeddings that an evaluator gives them.

As released (`utils/metrics.py`); everything is computed in float64.
"""

from __future__ import annotations

import numpy as np

from ..errors import LampError


def moments(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """embeddings (N, D) -> mean (D,) and covariance (D, D) over N - 1, float64.

    Raises LampError unless there are 2 or more rows of finite numbers.
    """
    embeddings = _checked(embeddings, 2)
    if len(embeddings) < 2:
        raise LampError(f"a covariance needs 2 or more motions, found {len(embeddings)}")
    return embeddings.mean(0), np.cov(embeddings, rowvar=False).reshape(embeddings.shape[1], -1)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """FID: distance of two Gaussians that have the moments of embeddings (N, D) and (M, D).

    |m - m'|² + tr(C + C' - 2 (C C')^½). The trace of the root is the sum of the roots of the eigenvalues of the
    symmetric C^½ C' C^½, which also holds for singular covariances. Raises LampError as `moments`.
    """
    (mean_a, cov_a), (mean_b, cov_b) = moments(real), moments(generated)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.linalg.eigvalsh(root @ cov_b @ root)
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b)
    return float(distance - 2 * np.sqrt(shared.clip(0)).sum())


def diversity(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of the pairs embeddings[first], embeddings[second]; embeddings (N, D), indices (P,)."""
    embeddings = _checked(embeddings, 2)
    return float(np.linalg.norm(embeddings[first] - embeddings[second], axis=-1).mean())


def multimodality(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """As `diversity`, between motions of one text: embeddings (S, M, D), M motions for each of S texts."""
    embeddings = _checked(embeddings, 3)
    return float(np.linalg.norm(embeddings[:, first] - embeddings[:, second], axis=-1).mean())


def draw_pairs(count: int, pairs: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two lists of `pairs` distinct indices below `count`; fewer where `count` is smaller."""
    pairs = min(pairs, count)
    return generator.choice(count, pairs, replace=False), generator.choice(count, pairs, replace=False)


def _checked(embeddings: np.ndarray, dims: int) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float64)
    if embeddings.ndim != dims or not np.isfinite(embeddings).all():
        raise LampError(f"embeddings have shape {embeddings.shape}, expected {dims} dimensions of finite numbers")
    return embeddings
