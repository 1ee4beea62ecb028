"""A motion as it is cut, joined and written: joints, and what is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from ..errors import LampError
from .kinematics import local_rotations
from .skeleton import Skeleton


class Posed:
    """What follows from joints (T, J, 3), a skeleton and a frame rate, computed when asked for."""

    joints: np.ndarray
    skeleton: Skeleton
    fps: float

    @property
    def seconds(self) -> float:
        return len(self.joints) / self.fps

    @cached_property
    def _pose(self) -> tuple[np.ndarray, np.ndarray]:
        return local_rotations(self.joints, self.skeleton)

    @property
    def rotations(self) -> np.ndarray:
        """(T, J, 4) float32, unit quaternions w, x, y, z of each joint relative to its parent."""
        return self._pose[0]

    @property
    def offsets(self) -> np.ndarray:
        """(J, 3) float32, metres: the bones that `rotations` turn."""
        return self._pose[1]

    @property
    def root(self) -> np.ndarray:
        """(T, 3) float32, metres: where the pelvis is."""
        return self.joints[:, 0]


@dataclass(frozen=True, eq=False)
class Clip(Posed):
    """One motion of T frames.

    Attributes:
        joints: (T, J, 3) float32, metres, Y up.
        contacts: (T, 4) bool: left ankle, left foot, right ankle and right foot on the ground.
        frame_prompts: (T,) the words that each frame follows; empty where nothing is known.
        seed: the seed of a generated motion, else None.

    Raises:
        LampError: joints of another shape than (T, J, 3) or not finite; T contacts or prompts expected.
    """

    joints: np.ndarray
    skeleton: Skeleton
    fps: float
    contacts: np.ndarray
    frame_prompts: Sequence[str]
    seed: int | None = None

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints, dtype=np.float32)
        object.__setattr__(self, "joints", joints)
        if joints.ndim != 3 or joints.shape[1:] != (self.skeleton.num_joints, 3) or len(joints) == 0:
            raise LampError(f"joints have shape {joints.shape}, expected (frames, {self.skeleton.num_joints}, 3)")
        if not np.isfinite(joints).all():
            raise LampError("joints hold NaN or infinite values; repair or drop those frames")
        if np.shape(self.contacts) != (len(joints), 4) or len(self.frame_prompts) != len(joints):
            raise LampError(
                f"{len(joints)} frames have contacts of shape {np.shape(self.contacts)} and {len(self.frame_prompts)} "
                f"prompts, expected ({len(joints)}, 4) and {len(joints)}"
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise LampError(f"the frame rate is {self.fps}, expected a positive number of frames a second")

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def prompt(self) -> str:
        """The prompts in the order of the frames, joined by ", then "."""
        return ", then ".join(prompt for prompt, _ in groupby(self.frame_prompts) if prompt)
