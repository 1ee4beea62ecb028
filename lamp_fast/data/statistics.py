"""Mean and standard deviation that normalise motion features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..motion.features import feature_slices
from ..motion.skeleton import Skeleton
from .clips import MotionDataset

FEATURE_BIAS = 5.0


@dataclass(frozen=True)
class FeatureSums:
    """Over the frames of some clips: how many, the sum (F,) and the sum of squares (F,), float64."""

    count: int
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> FeatureSums:
        """Of the features (T, F) of one clip."""
        frames = features.astype(np.float64)
        return cls(len(frames), frames.sum(0), np.square(frames).sum(0))

    def __add__(self, other: FeatureSums) -> FeatureSums:
        return FeatureSums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def statistics(self, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation, each (F,) float64; one deviation for each part (HumanML3D `cal_mean_variance.ipynb`)."""
        mean = self.total / self.count
        std = np.sqrt(np.maximum(self.squares / self.count - np.square(mean), 0))
        for part in feature_slices(skeleton).values():
            std[part] = std[part].mean()
        return mean, std


def sum_features(clips: Iterable[np.ndarray]) -> FeatureSums:
    """The sums over the features (T, F) of at least one clip."""
    sums = [FeatureSums.of(features) for features in clips]
    return sum(sums[1:], start=sums[0])


def normalisation(dataset: MotionDataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (F,) float32, for x -> (x - mean) / std.

    As released: the deviation of the root and of the contacts is divided by 5, so that they weigh more (`train_vq.py`,
    feat_bias). A data set that ships its statistics keeps them.
    """
    if dataset.statistics is not None:
        mean, std = (a.copy() for a in dataset.statistics)
    else:
        mean, std = sum_features(clip.features for clip in dataset.clips).statistics(dataset.skeleton)
    parts = feature_slices(dataset.skeleton)
    for name in ("yaw_velocity", "root_velocity", "root_height", "contacts"):
        std[parts[name]] /= FEATURE_BIAS
    return mean.astype(np.float32), std.astype(np.float32)
