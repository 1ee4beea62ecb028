"""Feet on the ground: when they stand, how far they slide while they stand, and a lock that holds them in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .clip import Clip
from .rotations import qbetween, qrot

LOW = 0.06  # metres over its lowest place, above which a foot does not stand
SLOW = 0.9  # metres a second, above which a foot does not stand; HumanML3D's threshold
SHORTEST = 3  # frames
DRIFT = 0.12  # metres a foot may have slid from where it is held before it is let go
EASE = 0.2  # seconds in which a foot gets from where it was to where it is held, and back
LIFT = 0.06  # metres by which a foot is lifted at most for a step
HINT = 0.05  # of the length of a foot: how far a knee counts as lying in front of a straight leg
STRETCH = 0.999  # of the length of a leg


def standing(clip: Clip) -> np.ndarray:
    """(T, 4) bool: which of left ankle, left foot, right ankle and right foot stand: low, slow and long enough.

    Told from the joints alone, so that it holds for any motion; the contacts of a clip may say so for feet in the air.
    """
    feet = clip.joints[:, _feet(clip)].astype(np.float64)
    low = feet[..., 1] < np.percentile(feet[..., 1], 2, axis=0) + LOW
    step = np.linalg.norm(np.diff(feet, axis=0, prepend=feet[:1]), axis=-1) * clip.fps
    step[:1] = step[1:2] if len(step) > 1 else 0
    down = low & (step < SLOW)
    for foot in range(4):
        for start, end in _runs(down[:, foot]):
            if end - start < SHORTEST:
                down[start:end, foot] = False
    return down


def sliding(clip: Clip, down: np.ndarray | None = None) -> float:
    """Metres a second that feet move along the ground while they stand, the mean of all their frames.

    down: (T, 4) bool, when they are meant to stand; told by `standing` if None.
    """
    down = standing(clip) if down is None else down
    held = down[1:] & down[:-1]
    steps = np.linalg.norm(np.diff(clip.joints[:, _feet(clip)][..., [0, 2]], axis=0), axis=-1)
    return float(steps[held].mean() * clip.fps) if held.any() else 0.0


def _feet(clip: Clip) -> list[int]:
    return [*clip.skeleton.left_foot, *clip.skeleton.right_foot]


def _runs(down: np.ndarray) -> np.ndarray:
    """(R, 2) first frame of each run of True, and the first frame after it."""
    return np.flatnonzero(np.diff(np.concatenate([[0], down.astype(int), [0]]))).reshape(-1, 2)


def foot_lock(clip: Clip) -> Clip:
    """Hold each foot where it stands; knees bend as they must, everything else stays where it is.

    While ankle or toe stands it moves no further along the ground; the other one goes with it, or is held, too. A foot
    that would have to be held more than `DRIFT` from where it was takes a step instead: it is let go, lifted, and held
    again. Before and after it eases from where it was to where it is held, and back.
    """
    joints = clip.joints.astype(np.float64)
    down = standing(clip)
    ease = max(1, round(EASE * clip.fps))
    for side, (ankle, toe) in enumerate((clip.skeleton.left_foot, clip.skeleton.right_foot)):
        shift = _corrections(joints[:, [ankle, toe]], down[:, 2 * side : 2 * side + 2], ease)
        knee = clip.skeleton.parents[ankle]
        target = joints[:, ankle] + shift[:, 0]
        front = joints[:, toe] - joints[:, ankle]
        bent = _bent(joints[:, clip.skeleton.parents[knee]], joints[:, knee], joints[:, ankle], target, front)
        joints[:, toe] += shift[:, 1] + bent[1] - target
        joints[:, knee], joints[:, ankle] = bent
    return replace(clip, joints=joints)


def _corrections(places: np.ndarray, down: np.ndarray, ease: int) -> np.ndarray:
    """What to add (T, 2, 3) to ankle and toe (T, 2, 3) of a foot, so that neither slides while it is `down` (T, 2)."""
    held = down[1:] & down[:-1]
    moves = np.where(held[..., None], -np.diff(places, axis=0), 0) * [1, 0, 1]
    alone = held != held[:, ::-1]
    moves = np.where(alone[..., None] & ~held[..., None], moves[:, ::-1], moves)
    path = np.concatenate([np.zeros((1, 2, 3)), moves.cumsum(axis=0)])

    shift = np.zeros_like(places)
    stands = []
    for start, end in _runs(down.any(axis=1)):
        while end - start >= SHORTEST:
            way, stop = path[start:end] - path[start], end
            while _reach(way[: stop - start]) > DRIFT:
                stop -= 1
            shift[start:stop] = way[: stop - start] - way[: stop - start].mean(axis=(0, 1))
            stands.append((start, stop, end))
            start = stop + ease
    _ease_between(shift, stands, ease)
    return shift


def _reach(path: np.ndarray) -> float:
    return float(np.linalg.norm(path - path.mean(axis=(0, 1)), axis=-1).max())


def _ease_between(shift: np.ndarray, stands: list[tuple[int, int, int]], ease: int) -> None:
    """Fill the frames between stands. stands: (first frame, the one after the last, the one after the whole run)."""
    for (_, stop, end), (start, _, _) in zip(stands, stands[1:]):
        gap = start - stop
        if gap > 2 * ease:
            fade = _rise(ease)[:, None, None]
            shift[stop : stop + ease] = shift[stop - 1] * (1 - fade)
            shift[start - ease : start] = shift[start] * fade
            continue
        fade = _rise(gap)[:, None, None]
        shift[stop:start] = shift[stop - 1] * (1 - fade) + shift[start] * fade
        if end > stop:  # a step
            height = min(LIFT, 0.5 * float(np.linalg.norm(shift[start] - shift[stop - 1], axis=-1).max()))
            shift[stop:start, :, 1] += height * np.sin(np.pi * (np.arange(gap) + 1) / (gap + 1))[:, None]
    if stands:
        first, last = stands[0][0], stands[-1][1]
        lead, tail = min(ease, first), min(ease, len(shift) - last)
        shift[first - lead : first] = shift[first] * _rise(ease)[ease - lead :, None, None]
        shift[last : last + tail] = shift[last - 1] * _rise(ease)[::-1][:tail, None, None]


def _rise(frames: int) -> np.ndarray:
    """A smooth way from 0 to 1 through so many frames between them."""
    part = (np.arange(frames) + 1) / (frames + 1)
    return part * part * (3 - 2 * part)


def _bent(
    hip: np.ndarray, knee: np.ndarray, ankle: np.ndarray, target: np.ndarray, front: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Knee and ankle (T, 3) of a leg whose ankle goes to a target, or as near to it as thigh and shin reach.

    The bend stays in the plane in which it was, turned along with the leg; a straight leg bends to the `front`.
    """
    thigh, shin = np.linalg.norm(knee - hip, axis=-1), np.linalg.norm(ankle - knee, axis=-1)
    before, after = ankle - hip, target - hip
    reach = np.linalg.norm(after, axis=-1)
    near, far = np.abs(thigh - shin) / STRETCH, (thigh + shin) * STRETCH
    length = np.clip(reach, np.minimum(near, np.linalg.norm(before, axis=-1)), np.maximum(far, 0))
    along = after / np.maximum(reach, 1e-9)[:, None]
    old = before / np.maximum(np.linalg.norm(before, axis=-1), 1e-9)[:, None]
    side = qrot(qbetween(old, along), knee - hip) + HINT * front
    side -= (side * along).sum(-1, keepdims=True) * along
    side /= np.maximum(np.linalg.norm(side, axis=-1), 1e-9)[:, None]
    forth = (thigh**2 - shin**2 + length**2) / (2 * np.maximum(length, 1e-9))
    aside = np.sqrt(np.maximum(thigh**2 - forth**2, 0))
    return hip + forth[:, None] * along + aside[:, None] * side, hip + length[:, None] * along
