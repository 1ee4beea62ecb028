"""What a pipeline returns: one motion, with everything that follows from its features computed when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..errors import LampError
from ..export import save
from ..motion.clip import Clip, Posed
from ..motion.features import features_to_joints, foot_contacts
from ..motion.skeleton import Skeleton


@dataclass(frozen=True)
class Segment:
    """The frames of a motion from `start` up to the next segment's start, and the prompt they follow."""

    prompt: str
    start: int


@dataclass(frozen=True, eq=False)
class MotionOutput(Posed):
    """One motion of T frames.

    Attributes:
        features: (T, F) float32, the data set's representation, not normalised.
        tokens: (N,) int64, N = T / 4.
        segments: one for a plain prompt, several for a sequence of prompts.
        timings: seconds that each stage of the call took that made this motion (and others with it).

    Raises:
        LampError: features of another shape than (T, skeleton.feature_dim), or not finite.
    """

    features: np.ndarray
    tokens: np.ndarray
    segments: tuple[Segment, ...]
    seed: int
    skeleton: Skeleton
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.features.shape
        if len(shape) != 2 or shape[1] != self.skeleton.feature_dim or shape[0] == 0:
            raise LampError(f"features have shape {shape}, expected (frames, {self.skeleton.feature_dim})")
        if not np.isfinite(self.features).all():
            raise LampError("features hold NaN or infinite values; the weights or the input of the model are damaged")

    @property
    def fps(self) -> float:
        return self.skeleton.fps

    @property
    def prompt(self) -> str:
        """The prompts of all segments, joined by ", then "."""
        return ", then ".join(segment.prompt for segment in self.segments)

    @property
    def frame_prompts(self) -> list[str]:
        """The prompt that each of the T frames follows."""
        starts = [segment.start for segment in self.segments]
        which = np.searchsorted(starts, np.arange(len(self.features)), side="right") - 1
        return [self.segments[i].prompt for i in which]

    @cached_property
    def joints(self) -> np.ndarray:
        """(T, J, 3) float32, metres, in the world: Y up, the ground at 0, facing +Z in the first frame."""
        return features_to_joints(self.features, self.skeleton)

    @cached_property
    def contacts(self) -> np.ndarray:
        """(T, 4) bool: left ankle, left foot, right ankle and right foot on the ground."""
        return foot_contacts(self.features)

    @property
    def clip(self) -> Clip:
        """The motion as `motion.editing` takes it: joints without features and tokens."""
        return Clip(self.joints, self.skeleton, self.fps, self.contacts, self.frame_prompts, self.seed)

    def save(self, path: str | os.PathLike, **options) -> None:
        """Write a .bvh, .glb, .npz, .csv, .gif, .png or .html file; options as for `lamp_fast.export.save`."""
        save(self, path, **options)
