"""A figure around the joints, as the page draws it: capsules between points that move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.heading import headings
from ..motion.skeleton import Skeleton

# Radii in metres for legs of 0.82 m, of the bone that ends in such a joint: where it starts, and where it ends.
RADII = {
    "hip": (0.1, 0.1),
    "collar": (0.07, 0.06),
    "shoulder": (0.06, 0.06),
    "knee": (0.078, 0.055),
    "ankle": (0.055, 0.04),
    "heel": (0.04, 0.04),
    "foot": (0.042, 0.034),
    "neck": (0.1, 0.058),
    "head": (0.055, 0.055),
    "elbow": (0.052, 0.042),
    "wrist": (0.042, 0.03),
}
SPINE = (0.105, 0.105)
TRUNK_BONES = ("hip", "collar", "shoulder")
TRUNK, SHOULDER, HAND, SKULL, NOSE = 0.1, 0.062, 0.034, 0.098, 0.022
INWARDS = 0.3  # from a shoulder to the other: where the side of the trunk ends
LEG = 0.82
SMALLEST, LARGEST = 0.3, 3.0  # scales of bodies that are drawn as they are
HAND_LENGTH, CHIN, CROWN, FACE, ARROW = 0.11, 0.02, 0.09, 0.11, 0.45


@dataclass(frozen=True)
class Body:
    """Capsules between points.

    points: (T, P, 3) float32, metres: the joints, then what the figure needs beside them; the last two lie on the
    ground, below the root and ahead of it. parts: (start point, end point, radius at the start, radius at the end,
    side), the side being "left", "right", "middle" or "face".
    """

    points: np.ndarray
    parts: list[tuple[int, int, float, float, str]]


def build_body(joints: np.ndarray, skeleton: Skeleton) -> Body:
    """The figure of a motion (T, J, 3) in metres, Y up."""
    joints = np.asarray(joints, np.float64)
    scale = _scale(joints, skeleton)
    points = list(joints.transpose(1, 0, 2))
    parts: list[tuple[int, int, float, float, str]] = []

    def point(place: np.ndarray) -> int:
        points.append(place)
        return len(points) - 1

    def part(start: int, end: int, radii: tuple[float, float], side: str) -> None:
        parts.append((start, end, round(scale * radii[0], 4), round(scale * radii[1], 4), side))

    for parent, joint in skeleton.bones:
        kind = skeleton.joint_names[joint].removeprefix("l_").removeprefix("r_")
        side = "middle" if kind in TRUNK_BONES else _side(joint, skeleton)
        part(parent, joint, RADII.get(kind, SPINE), side)

    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    for hip, shoulder, other in (
        (left_hip, left_shoulder, right_shoulder),
        (right_hip, right_shoulder, left_shoulder),
    ):
        chest = point((1 - INWARDS) * joints[:, shoulder] + INWARDS * joints[:, other])
        part(hip, chest, (TRUNK, TRUNK), "middle")
        part(chest, shoulder, (TRUNK, SHOULDER), "middle")

    for joint, name in enumerate(skeleton.joint_names):
        if name.endswith("wrist"):
            tip = joints[:, joint] + scale * HAND_LENGTH * _unit(joints[:, joint] - joints[:, skeleton.parents[joint]])
            part(joint, point(tip), (HAND, HAND), _side(joint, skeleton))

    head = skeleton.joint_names.index("head")
    up = _unit(joints[:, head] - joints[:, skeleton.parents[head]])
    forward = _unit(np.cross(joints[:, left_shoulder] - joints[:, right_shoulder], up))
    chin, crown = (point(joints[:, head] + scale * along * up) for along in (CHIN, CROWN))
    nose = point(joints[:, head] + scale * (0.5 * (CHIN + CROWN) * up + FACE * forward))
    part(chin, crown, (SKULL, SKULL), "middle")
    part(chin, nose, (NOSE, NOSE), "face")
    part(crown, nose, (NOSE, NOSE), "face")

    below = joints[:, 0] * [1, 0, 1]
    heading = headings(joints, skeleton)
    point(below)
    point(below + ARROW * np.stack([np.sin(heading), np.zeros_like(heading), np.cos(heading)], axis=1))
    return Body(np.stack(points, axis=1).astype(np.float32), parts)


def _side(joint: int, skeleton: Skeleton) -> str:
    return {"l_": "left", "r_": "right"}.get(skeleton.joint_names[joint][:2], "middle")


def _scale(joints: np.ndarray, skeleton: Skeleton) -> float:
    """How large the body is, told by its leg."""
    bones = [joints[:, joint] - joints[:, skeleton.parents[joint]] for joint in skeleton.leg_joints]
    leg = float(np.median(sum(np.linalg.norm(bone, axis=-1) for bone in bones)))
    return float(np.clip(leg / LEG, SMALLEST, LARGEST))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
