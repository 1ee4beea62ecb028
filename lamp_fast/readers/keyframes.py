"""Values between the keys of an animation, as glTF 2.0 defines them."""

from __future__ import annotations

import numpy as np

from ..motion.rotations import slerp

INTERPOLATIONS = {"LINEAR": 1, "STEP": 1, "CUBICSPLINE": 3}
"""Rows that each key has: of a cubic spline the tangent before, the value, the tangent after."""

ROUNDED = 1e-3  # of the time between two keys: times are rounded to 32 bits


def sample(times: np.ndarray, values: np.ndarray, interpolation: str, at: np.ndarray, is_rotation: bool) -> np.ndarray:
    """(T, C) values at the times `at` (T,), seconds; before the first key and after the last those hold.

    times: (K,) ascending. values: (K, C), or (3 K, C) of a cubic spline. Rotations are quaternions x, y, z, w and come
    back with unit length.
    """
    after = np.clip(np.searchsorted(times, at, side="right"), 1, max(len(times) - 1, 1))
    before = np.minimum(after - 1, len(times) - 1)
    after = np.minimum(after, len(times) - 1)
    seconds = times[after] - times[before]
    part = np.clip((at - times[before]) / np.where(seconds > 0, seconds, 1), 0, 1)
    if interpolation == "STEP":
        found = values[np.where(part > 1 - ROUNDED, after, before)]
    elif interpolation == "CUBICSPLINE":
        found = _spline(values.reshape(len(times), 3, -1), before, after, part[:, None], seconds[:, None])
    elif is_rotation:
        return slerp(_unit(values[before]), _unit(values[after]), part)
    else:
        found = values[before] + part[:, None] * (values[after] - values[before])
    return _unit(found) if is_rotation else found


def _spline(keys: np.ndarray, before: np.ndarray, after: np.ndarray, t: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Hermite's; keys: (K, 3, C)."""
    start, leaving, end, arriving = keys[before, 1], keys[before, 2], keys[after, 1], keys[after, 0]
    rise = t * t * (3 - 2 * t)
    return (1 - rise) * start + rise * end + seconds * t * (1 - t) * ((1 - t) * leaving - t * arriving)


def _unit(quaternions: np.ndarray) -> np.ndarray:
    """Unit length; no rotation where there is no length."""
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    return np.where(length > 1e-9, quaternions / np.maximum(length, 1e-9), [0.0, 0.0, 0.0, 1.0])
