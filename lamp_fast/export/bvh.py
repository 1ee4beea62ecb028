"""BVH: centimetres, Y up, a T-pose at zero, six channels for the root and three rotations for every other joint."""

from __future__ import annotations

import os

import numpy as np

from ..errors import LampError
from ..files import new_file
from ..motion.rotations import quaternion_to_euler
from ..motion.skeleton import Skeleton

CENTIMETRES = 100.0
END_SITE = 0.6  # length of an end site, in lengths of the bone that it continues


def write_bvh(
    path: str | os.PathLike,
    rotations: np.ndarray,
    root: np.ndarray,
    offsets: np.ndarray,
    skeleton: Skeleton,
    fps: float,
) -> None:
    """Write one motion; `rotations` and `offsets` are what `motion.kinematics.local_rotations` returns, from a T-pose.

    Args:
        rotations: (T, J, 4) local unit quaternions w, x, y, z. root: (T, 3) metres. offsets: (J, 3) metres.

    Raises:
        LampError: shapes that do not fit the skeleton, values that are not finite, a path that cannot be written.
    """
    rotations, root, offsets = (np.asarray(a, dtype=np.float64) for a in (rotations, root, offsets))
    _check(rotations, root, offsets, skeleton)
    orders = _orders(skeleton)
    angles = np.stack([_euler_degrees(rotations[:, j], order) for j, order in enumerate(orders)], axis=1)

    lines, columns = ["HIERARCHY"], []
    _write_joint(lines, columns, 0, "", skeleton, orders, offsets * CENTIMETRES)
    lines += ["MOTION", f"Frames: {len(root)}", f"Frame Time: {1 / fps:.6f}"]
    values = np.concatenate([root * CENTIMETRES, angles[:, columns].reshape(len(root), -1)], axis=1)
    values = np.round(values, 5) + 0.0  # no "-0"
    lines += [" ".join(f"{v:.5f}" for v in frame) for frame in values.tolist()]
    with new_file(path) as file:
        file.write_text("\n".join(lines) + "\n", encoding="ascii")


def _orders(skeleton: Skeleton) -> list[str]:
    """The axes of each joint's three rotations, first to last; the middle one is the one that joint turns about least.

    Legs swing about X, so there it is Y; a root may turn round to any heading and an arm swing to any side about Y, so
    elsewhere it is X.
    """
    legs = {j for chain in skeleton.chains if {*skeleton.left_foot, *skeleton.right_foot} & {*chain} for j in chain[1:]}
    return ["ZYX" if j in legs else "ZXY" for j in range(skeleton.num_joints)]


def _euler_degrees(quaternions: np.ndarray, order: str) -> np.ndarray:
    """(T, 4) -> (T, 3) degrees without jumps: of the two ways to say a rotation, the nearer to the frame before."""
    angles = quaternion_to_euler(quaternions, order.lower())
    for t in range(1, len(angles)):
        first, middle, last = angles[t]
        ways = np.array([[first, middle, last], [first + 180, 180 - middle, last + 180]])
        ways -= 360 * np.round((ways - angles[t - 1]) / 360)
        angles[t] = ways[np.abs(ways - angles[t - 1]).sum(axis=1).argmin()]
    return angles


def _write_joint(
    lines: list[str],
    columns: list[int],
    joint: int,
    indent: str,
    skeleton: Skeleton,
    orders: list[str],
    offsets: np.ndarray,
) -> None:
    """Append a joint and what hangs on it to `lines`; `columns` collects the joints in the order of the file."""
    columns.append(joint)
    rotations = " ".join(f"{axis}rotation" for axis in orders[joint])
    channels = f"3 {rotations}" if joint else f"6 Xposition Yposition Zposition {rotations}"
    lines += [
        f"{indent}{'JOINT' if joint else 'ROOT'} {skeleton.joint_names[joint]}",
        f"{indent}{{",
        f"{indent}  OFFSET {_vector(offsets[joint])}",
        f"{indent}  CHANNELS {channels}",
    ]
    children = [child for parent, child in skeleton.bones if parent == joint]
    for child in children:
        _write_joint(lines, columns, child, indent + "  ", skeleton, orders, offsets)
    if not children:
        lines += [f"{indent}  End Site", f"{indent}  {{"]
        lines += [f"{indent}    OFFSET {_vector(offsets[joint] * END_SITE)}", f"{indent}  }}"]
    lines.append(f"{indent}}}")


def _vector(v: np.ndarray) -> str:
    return " ".join(f"{x:.5f}" for x in np.round(v, 5) + 0.0)


def _check(rotations: np.ndarray, root: np.ndarray, offsets: np.ndarray, skeleton: Skeleton) -> None:
    frames, joints = len(root), skeleton.num_joints
    for name, value, shape in (
        ("rotations", rotations, (frames, joints, 4)),
        ("root", root, (frames, 3)),
        ("offsets", offsets, (joints, 3)),
    ):
        if value.shape != shape or frames == 0:
            raise LampError(f"BVH: {name} have shape {value.shape}, expected {shape} with at least one frame")
        if not np.isfinite(value).all():
            raise LampError(f"BVH: {name} hold NaN or infinite values; repair or drop those frames")
