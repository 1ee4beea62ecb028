"""Motion at another frame rate: positions in straight lines between frames, rotations at constant speed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import LampError
from .arrays import accepts_numpy
from .rotations import slerp


@accepts_numpy
def resample_joints(joints: Tensor, fps: float, target_fps: float) -> Tensor:
    """Joints (..., T, J, 3) recorded at `fps` as they are at `target_fps`: (..., T', J, 3), first frame kept.

    T' counts the new frames up to the time of the last old one. Raises `LampError` for frame rates not above zero.
    """
    before, after, fraction = _neighbours(joints.shape[-3], fps, target_fps, joints)
    return torch.lerp(joints[..., before, :, :], joints[..., after, :, :], fraction[:, None, None])


@accepts_numpy
def resample_rotations(quaternions: Tensor, fps: float, target_fps: float) -> Tensor:
    """Unit quaternions (..., T, J, 4) recorded at `fps` as they are at `target_fps`, see `resample_joints`."""
    before, after, fraction = _neighbours(quaternions.shape[-3], fps, target_fps, quaternions)
    return slerp(quaternions[..., before, :, :], quaternions[..., after, :, :], fraction[:, None])


def _neighbours(frames: int, fps: float, target_fps: float, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each new frame the old frames around it, and how far it lies between them."""
    if not (fps > 0 and target_fps > 0 and math.isfinite(fps) and math.isfinite(target_fps)):
        raise LampError(f"frame rates are {fps} and {target_fps}, expected positive numbers of frames a second")
    if frames == 0:
        raise LampError("the motion has no frames, expected at least one")
    # A hair more than the quotient, so that 20 -> 30 -> 20 frames a second returns to the same count.
    count = math.floor((frames - 1) * target_fps / fps + 1e-6) + 1
    place = torch.arange(count, dtype=torch.float64, device=like.device) * (fps / target_fps)
    before = place.long().clamp(max=frames - 1)
    return before, (before + 1).clamp(max=frames - 1), (place - before).clamp(0, 1).to(like.dtype)
