"""A body of sticks around a hierarchy, so that a motion can be seen without a character."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.animation import Animation
from ..readers.bodies import split_name

WIDTH = 0.15  # of a stick at its widest, in lengths of its bone
THICKEST, THINNEST = 0.055, 0.03  # metres
SHORTEST = 1e-4  # metres of a bone that gets a stick
WIDEST_AT = 0.25  # of the bone's length
HEAD_SIZE = 0.1  # metres from the middle of the head to its top


@dataclass(frozen=True)
class Triangles:
    """points and normals: (V, 3), rest pose, metres, three a triangle. joints: (V,) the joint that moves each."""

    points: np.ndarray
    normals: np.ndarray
    joints: np.ndarray


def stick_body(animation: Animation) -> dict[str, Triangles]:
    """A double pyramid along every bone, moved by the joint where the bone starts, and a head.

    One part for each side of the body, told from the names of the joints: "l", "r" and "" for the middle.
    """
    rest = rest_joints(animation)
    solids: dict[str, list[tuple[np.ndarray, int]]] = {"": [], "l": [], "r": []}
    for joint, parent in enumerate(animation.parents):
        side, part = split_name(animation.names[joint])
        if parent >= 0 and np.linalg.norm(animation.offsets[joint]) > SHORTEST:
            solids[side].append((_double_pyramid(rest[parent], rest[joint]), parent))
        if (side, part) == ("", "head"):
            middle = rest[joint] + [0, 0.5 * HEAD_SIZE, 0]
            solids[""].append((_octahedron(middle, HEAD_SIZE * np.array([0.75, 1.0, 0.85])), joint))
    return {side: _join(parts) for side, parts in solids.items() if parts}


def rest_joints(animation: Animation) -> np.ndarray:
    """(K, 3) metres: the joints when nothing is turned and the root is at the origin."""
    joints = np.zeros_like(animation.offsets)
    for joint, parent in enumerate(animation.parents[1:], 1):
        joints[joint] = joints[parent] + animation.offsets[joint]
    return joints


def _double_pyramid(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(8, 3, 3) triangles, counter-clockwise from outside."""
    along = end - start
    length = np.linalg.norm(along)
    half = np.clip(WIDTH * length, THINNEST, THICKEST) / 2
    across = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    across /= np.linalg.norm(across)
    up = np.cross(along / length, across)
    belt = start + WIDEST_AT * along + half * np.array([across + up, up - across, -across - up, across - up])
    return _bipyramid(start, belt, end)


def _octahedron(middle: np.ndarray, radii: np.ndarray) -> np.ndarray:
    x, y, z = np.diag(radii)
    return _bipyramid(middle - y, middle + np.array([x, -z, -x, z]), middle + y)


def _bipyramid(bottom: np.ndarray, belt: np.ndarray, top: np.ndarray) -> np.ndarray:
    """belt: (4, 3), counter-clockwise seen from the top."""
    corners = zip(belt, np.roll(belt, -1, axis=0))
    return np.array([side for a, b in corners for side in ([a, b, top], [b, a, bottom])])


def _join(parts: list[tuple[np.ndarray, int]]) -> Triangles:
    triangles = np.concatenate([solid for solid, _ in parts])
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    joints = np.repeat([joint for _, joint in parts], [3 * len(solid) for solid, _ in parts])
    return Triangles(triangles.reshape(-1, 3), np.repeat(normals, 3, axis=0), joints)
