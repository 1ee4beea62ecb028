"""What the writers need to know about a motion; `pipelines.output.MotionOutput` and `motion.clip.Clip` are such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..motion.skeleton import Skeleton


class Motion(Protocol):
    """T frames of J joints: shapes and units as in `Clip`."""

    skeleton: Skeleton

    @property
    def fps(self) -> float: ...
    @property
    def joints(self) -> np.ndarray: ...
    @property
    def rotations(self) -> np.ndarray: ...
    @property
    def offsets(self) -> np.ndarray: ...
    @property
    def root(self) -> np.ndarray: ...
    @property
    def contacts(self) -> np.ndarray: ...
    @property
    def prompt(self) -> str: ...
    @property
    def frame_prompts(self) -> Sequence[str]: ...
    @property
    def seed(self) -> int | None: ...
