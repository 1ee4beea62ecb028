"""Where a character faces: an angle about +Y, counted from +Z to the left."""

from __future__ import annotations

import numpy as np

from .skeleton import Skeleton


def headings(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Heading (T,) of joints (T, J, 3): radians about +Y, 0 when facing +Z, without jumps from frame to frame.

    It is told by the line from the right hip and shoulder to the left ones, seen from above.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    joints = np.asarray(joints, dtype=np.float64)
    across = joints[:, left_hip] - joints[:, right_hip] + joints[:, left_shoulder] - joints[:, right_shoulder]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def yaw_quaternions(yaw: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) w, x, y, z of turns about +Y by angles (...) in radians."""
    zero = np.zeros_like(yaw)
    return np.stack([np.cos(yaw / 2), zero, np.sin(yaw / 2), zero], axis=-1)


def turned(points: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Points (..., 3) turned about +Y by angles (...) in radians."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = np.moveaxis(np.asarray(points), -1, 0)
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=-1)
