"""Whether a motion could be real: foot skating, floor penetration, jerk. Joints in metres, Y up, the floor at 0."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import LampError
from ..motion.skeleton import Skeleton

NEAR_FLOOR = 0.05  # metres
SLIDING = 0.5  # metres a second
WINDOW = 5  # frames over which a slide must last


@dataclass(frozen=True)
class Plausibility:
    """foot_skating: share of frames; floor_penetration: millimetres, mean over frames; jerk: metres / second³."""

    foot_skating: float
    floor_penetration: float
    jerk: float


def plausibility(joints: Tensor, skeleton: Skeleton) -> Plausibility:
    """joints (T, J, 3) of one motion. Raises LampError for other shapes or values that are not finite."""
    if joints.ndim != 3 or joints.shape[1:] != (skeleton.num_joints, 3) or not joints.isfinite().all():
        raise LampError(f"joints have shape {tuple(joints.shape)}, expected (T, {skeleton.num_joints}, 3) and finite")
    return Plausibility(
        float(foot_skating(joints, skeleton)), float(floor_penetration(joints)), float(jerk(joints, skeleton.fps))
    )


def foot_skating(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """(..., T, J, 3) -> (...): share of steps in which a foot near the floor slides (GMD `calculate_skating_ratio`).

    A toe slides that is below 5 cm before and after the step and moves across the floor faster than 0.5 m/s, in this
    step and on average over five. One frame has no steps: 0.
    """
    toes = joints[..., [skeleton.left_foot[1], skeleton.right_foot[1]], :].transpose(-3, -2)  # (..., 2, T, 3)
    if toes.shape[-2] < 2:
        return joints.new_zeros(joints.shape[:-3])
    speed = toes[..., [0, 2]].diff(dim=-2).norm(dim=-1) * skeleton.fps
    flat = F.pad(speed.reshape(-1, 1, speed.shape[-1]), (WINDOW // 2, WINDOW // 2))
    mean_speed = F.avg_pool1d(flat, WINDOW, 1).reshape(speed.shape)
    low = toes[..., 1] < NEAR_FLOOR
    slides = low[..., 1:] & low[..., :-1] & (speed > SLIDING) & (mean_speed > SLIDING)
    return slides.any(-2).float().mean(-1)


def floor_penetration(joints: Tensor) -> Tensor:
    """(..., T, J, 3) -> (...): how far the lowest joint is below the floor, millimetres, mean over frames."""
    return 1000 * (-joints[..., 1].amin(-1)).clamp(min=0).mean(-1)


def jerk(joints: Tensor, fps: float) -> Tensor:
    """(..., T, J, 3) -> (...): mean length of the third derivative, metres / second³; 0 below four frames."""
    if joints.shape[-3] < 4:
        return joints.new_zeros(joints.shape[:-3])
    return joints.diff(n=3, dim=-3).norm(dim=-1).mean((-2, -1)) * fps**3
