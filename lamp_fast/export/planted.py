"""Feet of a character that stay where they stand, though its legs and hips have other proportions than ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..motion.animation import Animation
from ..motion.feet import EASE, bend_leg, rise, runs
from ..motion.rotations import qbetween, qcontinuous, qinv, qmul
from .motion import Motion
from .target import Target


def plant_feet(animation: Animation, motion: Motion, target: Target, scale: float) -> Animation:
    """`animation`, which is `motion` on `target`, with legs bent so that feet on the ground move as ours do, scaled.

    While our toes or ankle are in contact, theirs keep one distance from where ours are; between, it eases from one
    distance to the next. Thigh and shin turn for that; the hip stays, and the foot keeps its direction.
    """
    nodes = {f"{side}_{part}": target.node(f"{side}_{part}") for side in "lr" for part in ("hip", "knee", "ankle")}
    if None in nodes.values():
        return animation
    places, turns = animation.joints, world_turns(animation)
    rotations = animation.rotations.copy()
    ease = max(1, round(EASE * animation.fps))
    skeleton = motion.skeleton
    for side, feet in (("l", skeleton.left_foot), ("r", skeleton.right_foot)):
        hip, knee, ankle = (nodes[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
        toes = target.node(f"{side}_foot")
        feet, theirs = (feet, [ankle, toes]) if toes is not None else ([feet[0]] * 2, [ankle] * 2)
        down = np.asarray(motion.contacts)[:, 2 * "lr".index(side) :][:, :2]
        apart = (scale * motion.joints[:, feet] - places[:, theirs]) * [1, 0, 1]
        shift = _held(_way(apart, down), down.any(axis=1), ease)
        front = places[:, theirs[1]] - places[:, ankle]
        at = places[:, hip], places[:, knee], places[:, ankle]
        bent, reached = bend_leg(*at, at[2] + shift, front)
        thigh = qbetween(at[1] - at[0], bent - at[0])
        shin = qbetween(at[2] - at[1], reached - bent)
        still = np.tile([1.0, 0, 0, 0], (len(shift), 1))
        for joint, above, own in ((hip, still, thigh), (knee, thigh, shin), (ankle, shin, still)):
            parent = animation.parents[joint]
            around = still if parent < 0 else qmul(above, turns[:, parent])
            rotations[:, joint] = qmul(qinv(around), qmul(own, turns[:, joint]))
    return replace(animation, rotations=qcontinuous(rotations))


def world_turns(animation: Animation) -> np.ndarray:
    """(T, K, 4) how far each joint is turned in the world."""
    turns = np.empty_like(animation.rotations)
    for joint, parent in enumerate(animation.parents):
        local = animation.rotations[:, joint]
        turns[:, joint] = local if parent < 0 else qmul(turns[:, parent], local)
    return turns


def _way(apart: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(T, 3) how the distance (T, 2, 3) of ankle and toes changes, each while it is down (T, 2); toes before ankle."""
    steps = np.diff(apart, axis=0)
    toes = (down[1:] & down[:-1])[:, 1, None]
    return np.concatenate([np.zeros((1, 3)), np.where(toes, steps[:, 1], steps[:, 0]).cumsum(axis=0)])


def _held(apart: np.ndarray, down: np.ndarray, ease: int) -> np.ndarray:
    """What to add (T, 3) to a foot that is so far `apart` (T, 3) from where it should be, to keep that constant."""
    shift = np.zeros_like(apart)
    stands = runs(down)
    for start, end in stands:
        shift[start:end] = apart[start:end] - apart[start:end].mean(axis=0)
    for (_, start), (end, _) in zip(stands, stands[1:]):
        fade = rise(end - start)[:, None]
        shift[start:end] = shift[start - 1] * (1 - fade) + shift[end] * fade
    if len(stands):
        first, last = stands[0][0], stands[-1][1]
        lead, tail = min(ease, first), min(ease, len(shift) - last)
        shift[first - lead : first] = shift[first] * rise(ease)[ease - lead :, None]
        shift[last : last + tail] = shift[last - 1] * rise(ease)[::-1][:tail, None]
    return shift
