"""Feet on the ground: when they stand, how far they slide, and a lock that holds them, with steps where they glide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .clip import Clip
from .rotations import qbetween, qrot
from .steps import plan_stands

LOW = 0.06  # metres over the ground, above which a foot does not stand
SLOW = 0.9  # metres a second, above which a foot does not stand; HumanML3D's threshold
SHORTEST = 3  # frames
NEAR = 0.5  # seconds around a frame in which the lower foot shows where the ground is, on stairs, too
EASE = 0.2  # seconds in which a foot gets from where it was to where it is held, and back
LIFT = 0.08  # metres over the ground that a foot reaches in a step
HINT = 0.05  # of the length of a foot: how far a knee counts as lying in front of a straight leg
STRETCH = 0.999  # of the length of a leg


def heights(clip: Clip) -> np.ndarray:
    """(T, 4) metres of left ankle, left foot, right ankle and right foot over the ground, 0 where each stands.

    The ground is where the lower foot was lowest around the frame, so that it rises on stairs, but not with a jump.
    """
    feet = clip.joints[:, _feet(clip), 1].astype(np.float64)
    feet = feet - np.percentile(feet, 2, axis=0)
    lowest, around = feet.min(axis=1), round(NEAR * clip.fps)
    for smooth in (np.min, np.mean):
        lowest = smooth(sliding_window_view(np.pad(lowest, around, mode="edge"), 2 * around + 1), axis=1)
    return feet - np.minimum(lowest, feet.min(axis=1))[:, None]


def standing(clip: Clip) -> np.ndarray:
    """(T, 4) bool: which of left ankle, left foot, right ankle and right foot stand: low, slow and long enough.

    Told from the joints alone, so that it holds for any motion; the contacts of a clip may say so for feet in the air.
    """
    feet = clip.joints[:, _feet(clip)].astype(np.float64)
    step = np.linalg.norm(np.diff(feet, axis=0, prepend=feet[:1]), axis=-1) * clip.fps
    step[:1] = step[1:2] if len(step) > 1 else 0
    down = (heights(clip) < LOW) & (step < SLOW)
    for foot in range(4):
        for start, end in runs(down[:, foot]):
            if end - start < SHORTEST:
                down[start:end, foot] = False
    return down


def sliding(clip: Clip) -> float:
    """Metres a second that feet move along the ground: full on it, less above, nothing from `LOW` on; the mean of all.

    Source of the weight, 2 - 2^(height / LOW): Zhang et al., Mode-Adaptive Neural Networks (2018), where LOW is 2.5 cm.
    """
    if len(clip) < 2:
        return 0.0
    height = heights(clip)
    weight = np.clip(2 - 2 ** ((height[1:] + height[:-1]) / (2 * LOW)), 0, 1)
    steps = np.linalg.norm(np.diff(clip.joints[:, _feet(clip)][..., [0, 2]], axis=0), axis=-1)
    return float((weight * steps).mean() * clip.fps)


def _feet(clip: Clip) -> list[int]:
    return [*clip.skeleton.left_foot, *clip.skeleton.right_foot]


def runs(down: np.ndarray) -> np.ndarray:
    """(R, 2) first frame of each run of True, and the first frame after it."""
    return np.flatnonzero(np.diff(np.concatenate([[0], down.astype(int), [0]]))).reshape(-1, 2)


def foot_lock(clip: Clip) -> Clip:
    """Hold each foot where it stands; knees bend as they must, everything else stays where it is.

    A foot near the ground either stands, and moves no further along it, or takes a step: `steps.plan_stands` chooses.
    Ankle and toe are held each by itself where both are near the ground, else one goes with the other. The contacts are
    told anew, by `standing`.
    """
    joints = clip.joints.astype(np.float64)
    height = heights(clip)
    busy = np.zeros(len(clip), dtype=bool)
    for side, (ankle, toe) in enumerate((clip.skeleton.left_foot, clip.skeleton.right_foot)):
        places, high = joints[:, [ankle, toe]], height[:, 2 * side : 2 * side + 2]
        way = _way(places, high < LOW)
        stands = plan_stands(way.mean(axis=1)[:, [0, 2]], (high < LOW).any(axis=1), busy, clip.fps)
        shift = _shifts(places, way, high, stands, clip.fps)
        busy = np.ones(len(clip), dtype=bool)
        for start, end in stands:
            busy[start:end] = False
        knee = clip.skeleton.parents[ankle]
        target = joints[:, ankle] + shift[:, 0]
        front = joints[:, toe] - joints[:, ankle]
        bent = bend_leg(joints[:, clip.skeleton.parents[knee]], joints[:, knee], joints[:, ankle], target, front)
        joints[:, toe] += shift[:, 1] + bent[1] - target
        joints[:, knee], joints[:, ankle] = bent
    held = replace(clip, joints=joints)
    return replace(held, contacts=standing(held))


def _way(places: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(T, 2, 3) how far ankle and toe (T, 2, 3) have slid along the ground: their moves while they are `low` (T, 2)."""
    held = low[1:] & low[:-1]
    moves = np.where(held[..., None], np.diff(places, axis=0), 0) * [1, 0, 1]
    alone = held != held[:, ::-1]
    moves = np.where(alone[..., None] & ~held[..., None], moves[:, ::-1], moves)
    return np.concatenate([np.zeros((1, 2, 3)), moves.cumsum(axis=0)])


def _shifts(
    places: np.ndarray, way: np.ndarray, high: np.ndarray, stands: list[tuple[int, int]], fps: float
) -> np.ndarray:
    """What to add (T, 2, 3) to ankle and toe (T, 2, 3), so that neither moves along its `way` while the foot stands.

    high: (T, 2) metres over the ground. A foot is held at the middle of the way that it slid.
    """
    shift = np.zeros_like(places)
    for start, end in stands:
        shift[start:end] = way[start:end].mean(axis=0) - way[start:end]
    ends = [0, *(end for _, end in stands)]
    starts = [*(start for start, _ in stands), len(places)]
    for start, end in zip(ends, starts) if stands else ():
        if end > start:
            shift[start:end] = _step(places, way, high, shift, start, end, round(EASE * fps))
    return shift


def _step(
    places: np.ndarray, way: np.ndarray, high: np.ndarray, shift: np.ndarray, start: int, end: int, ease: int
) -> np.ndarray:
    """The shifts of a foot in the frames [start, end) between two stands, or before the first, or after the last.

    It goes its own way, bent to where it is held before and after; it leaves late and arrives early, less so where it
    is in the air by itself; and it is lifted where it is not high enough.
    """
    frames, taken, lands = end - start, start > 0, end < len(places)
    before = shift[start - 1] if taken else np.zeros((2, 3))
    after = shift[end] if lands else np.zeros((2, 3))
    fade = rise(frames)[:, None, None]
    bent = before * (1 - fade) + after * fade
    middle = (frames + 1) // 2 if taken and lands else frames if taken else 0
    pace = np.ones(frames)
    if high[start:end].min(axis=1).max() > LOW:
        ease //= 4
    ramp = rise(max(1, min(ease, max(middle, frames - middle))))
    pace[: len(ramp)] *= ramp if taken else 1
    pace[frames - len(ramp) :] *= ramp[::-1] if lands else 1
    held = np.empty_like(bent)
    held[:middle] = way[start - 1] + before
    held[middle:] = way[min(end, len(way) - 1)] + after
    free = way[start:end] + bent
    moves = held + pace[:, None, None] * (free - held) - way[start:end]

    first, last = max(start - 1, 0), min(end, len(places) - 1)
    length = np.linalg.norm((places[last] + after - places[first] - before)[:, [0, 2]], axis=-1).mean()
    part = (np.arange(frames) + 1) / (frames + 1)
    arc = np.sin(np.pi * (part if taken and lands else part / 2 if taken else (1 + part) / 2))
    moves[..., 1] += np.maximum(min(LIFT, 0.4 * length) * arc - high[start:end].min(axis=1), 0)[:, None]
    return moves


def rise(frames: int) -> np.ndarray:
    """A smooth way from 0 to 1 through so many frames between them."""
    part = (np.arange(frames) + 1) / (frames + 1)
    return part * part * (3 - 2 * part)


def bend_leg(
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
