"""Motion as animation tools hold it: a hierarchy, its rest pose, and a rotation of every joint in every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import LampError
from .heading import yaw_quaternions
from .kinematics import forward_kinematics, hierarchy_with_bases, local_rotations
from .resample import resample_joints, resample_rotations
from .rotations import qcontinuous, qinv, qmul, qrot
from .skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Animation:
    """T frames of K joints, parents first; joint 0 is the only root.

    Attributes:
        names: (K,). parents: (K,), -1 for the root.
        offsets: (K, 3) float64, metres: each joint in its parent's frame, all rotations being zero.
        rotations: (T, K, 4) float64, unit quaternions w, x, y, z relative to the parent, continuous in time.
        root: (T, 3) float64, metres: where joint 0 is.
        orders: (K,) the axes of each joint's Euler angles, first to last, where a file wants them.
        pelvis: (T, 3) metres: where joint 1 is, seen from joint 0, if that is a root on the ground; else None.

    Raises:
        LampError: shapes that do not fit, values that are not finite, no frame, parents that do not come first.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    root: np.ndarray
    fps: float
    orders: tuple[str, ...]
    pelvis: np.ndarray | None = None

    def __post_init__(self) -> None:
        count, frames = len(self.names), len(self.root)
        for name, shape in (("offsets", (count, 3)), ("rotations", (frames, count, 4)), ("root", (frames, 3))):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, value)
            if value.shape != shape or frames == 0:
                raise LampError(f"{name} have shape {value.shape}, expected {shape} with at least one frame")
            if not np.isfinite(value).all():
                raise LampError(f"{name} hold NaN or infinite values; repair or drop those frames")
        if len(self.parents) != count or len(self.orders) != count:
            raise LampError(f"{count} joints have {len(self.parents)} parents and {len(self.orders)} Euler orders")
        if self.parents[0] != -1 or any(not 0 <= parent < i for i, parent in enumerate(self.parents[1:], 1)):
            raise LampError("the hierarchy must list one root, then every joint after its parent")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise LampError(f"the frame rate is {self.fps}, expected a positive number of frames a second")

    @property
    def joints(self) -> np.ndarray:
        """(T, K, 3) metres, in the world."""
        joints = forward_kinematics(self.rotations, self.root, self.offsets, self)
        if self.pelvis is not None:
            joints[:, 1:] += qrot(self.rotations[:, 0], self.pelvis - self.offsets[1])[:, None]
        return joints

    def resampled(self, fps: float) -> Animation:
        """The same motion at another frame rate: rotations at constant speed between frames, the root along lines."""
        rotations = resample_rotations(self.rotations, self.fps, fps)
        root, pelvis = (
            None if way is None else resample_joints(way[:, None], self.fps, fps)[:, 0]
            for way in (self.root, self.pelvis)
        )
        return replace(self, rotations=rotations, root=root, pelvis=pelvis, fps=fps)

    def with_root_on_ground(self, yaw: np.ndarray) -> Animation:
        """The same motion below a joint more, `root`, which stays on the ground and carries the path and the heading.

        yaw: (T,) radians, as `heading.headings` tells them. What was joint 0 keeps height and tilt.
        """
        turn = yaw_quaternions(yaw)
        ground = self.root * [1, 0, 1]
        rotations = np.concatenate([turn[:, None], self.rotations], axis=1)
        rotations[:, 1] = qmul(qinv(turn), self.rotations[:, 0])
        return Animation(
            ("root", *self.names),
            (-1, *(parent + 1 for parent in self.parents)),
            np.concatenate([np.zeros((1, 3)), self.offsets]),
            qcontinuous(rotations),
            ground,
            self.fps,
            (self.orders[0], *self.orders),
            qrot(qinv(turn), self.root - ground),
        )


def animate(joints: np.ndarray, skeleton: Skeleton, fps: float) -> Animation:
    """Joints (T, J, 3), metres, as an animation of `hierarchy_with_bases(skeleton)` from a T-pose that faces +Z.

    Raises `LampError` for NaN or a wrong shape.
    """
    hierarchy = hierarchy_with_bases(skeleton)
    joints = np.asarray(joints)
    rotations, offsets = local_rotations(joints, skeleton, hierarchy)
    orders = euler_orders(hierarchy.names)
    return Animation(hierarchy.names, hierarchy.parents, offsets, rotations, joints[:, 0], fps, orders)


def euler_orders(names: tuple[str, ...]) -> tuple[str, ...]:
    """Axes for the Euler angles of our joints; the middle one is the one that joint turns about least.

    Legs swing about X, so there it is Y; a root may turn round to any heading and an arm swing to any side about Y, so
    elsewhere it is X.
    """
    legs = ("hip", "knee", "ankle", "heel", "foot")
    return tuple("ZYX" if name.partition("_")[2].partition("_")[0] in legs else "ZXY" for name in names)
