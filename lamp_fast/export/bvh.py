"""BVH: centimetres, six channels for the root and three rotations for every other joint.

A pelvis below a root on the ground has six, too, and no offset: some programs add it to the channels, some do not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from ..files import new_file
from ..motion.animation import Animation
from ..motion.rotations import quaternion_to_euler

CENTIMETRES = 100.0
END_SITE = 0.6  # length of an end site, in lengths of the bone that it continues


def write_bvh(
    path: str | os.PathLike,
    animation: Animation,
    units: float = CENTIMETRES,
    ends: Mapping[int, np.ndarray] | None = None,
) -> None:
    """Write one animation; each joint's channels stand in the order that `animation.orders` names.

    units: the file's unit of length, so many in a metre. ends: offsets of end sites by joint, in that unit; others go
    on in the direction of the bone above. Raises `LampError` for an unknown order and for a path that
    cannot be written.
    """
    by_joint = zip(animation.rotations.swapaxes(0, 1), animation.orders)
    angles = np.stack([quaternion_to_euler(q, axes.lower()) for q, axes in by_joint], axis=1)
    joints, order = _hierarchy(animation, units, ends or {})
    frames = len(animation.root)
    lines = ["HIERARCHY", *joints, "MOTION", f"Frames: {frames}", f"Frame Time: {1 / animation.fps:.6f}"]
    turns = _without_jumps(angles)[:, order].reshape(frames, -1)
    parts = [animation.root * units, turns]
    if animation.pelvis is not None:
        parts[1:] = [turns[:, :3], animation.pelvis * units, turns[:, 3:]]
    values = np.concatenate(parts, axis=1)
    values = np.round(values, 5) + 0.0  # no "-0"
    lines += [" ".join(f"{v:.5f}" for v in frame) for frame in values.tolist()]
    with new_file(path) as file:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _without_jumps(angles: np.ndarray) -> np.ndarray:
    """Degrees (T, K, 3): of the two ways to say a rotation, the nearer to the frame before."""
    angles = angles.copy()
    for t in range(1, len(angles)):
        first, middle, last = angles[t].T
        ways = np.array([[first, middle, last], [first + 180, 180 - middle, last + 180]]).transpose(0, 2, 1)
        ways -= 360 * np.round((ways - angles[t - 1]) / 360)
        nearer = np.abs(ways - angles[t - 1]).sum(axis=-1).argmin(axis=0)
        angles[t] = ways[nearer, np.arange(len(nearer))]
    return angles


def _hierarchy(animation: Animation, units: float, ends: Mapping[int, np.ndarray]) -> tuple[list[str], list[int]]:
    """The lines of all joints, and the joints in the order of the file: each before what hangs on it."""
    children: list[list[int]] = [[] for _ in animation.names]
    for joint, parent in enumerate(animation.parents[1:], 1):
        children[parent].append(joint)
    lines, order = [], []
    waiting: list[tuple[int, int | None]] = [(0, 0)]  # (depth, joint), or (depth, None) where a joint ends
    while waiting:
        depth, joint = waiting.pop()
        indent = "  " * depth
        if joint is None:
            lines.append(f"{indent}}}")
            continue
        order.append(joint)
        offset = animation.offsets[joint] * units
        rotations = " ".join(f"{axis}rotation" for axis in animation.orders[joint])
        moves = joint == 0 or joint == 1 and animation.pelvis is not None
        lines += [
            f"{indent}{'JOINT' if joint else 'ROOT'} {animation.names[joint]}",
            f"{indent}{{",
            f"{indent}  OFFSET {_vector(offset)}",
            f"{indent}  CHANNELS {f'6 Xposition Yposition Zposition {rotations}' if moves else f'3 {rotations}'}",
        ]
        if not children[joint]:
            end = _vector(ends.get(joint, offset * END_SITE))
            lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {end}", f"{indent}  }}"]
        waiting.append((depth, None))
        waiting += [(depth + 1, child) for child in reversed(children[joint])]
    return lines, order


def _vector(v: np.ndarray) -> str:
    return " ".join(f"{x:.5f}" for x in np.round(v, 5) + 0.0)
