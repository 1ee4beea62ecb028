"""Mean and standard deviation that normalise motion features."""

from __future__ import annotations

import numpy as np

from ..motion.skeleton import Skeleton
from .clips import MotionDataset

FEATURE_BIAS = 5.0


def feature_groups(skeleton: Skeleton) -> list[slice]:
    """Yaw velocity, plane velocity, height, positions, rotations, velocities, contacts."""
    joints = skeleton.num_joints
    widths = [1, 2, 1, 3 * (joints - 1), 6 * (joints - 1), 3 * joints, 4]
    ends = np.cumsum(widths)
    return [slice(end - width, end) for end, width in zip(ends, widths)]


def normalisation(dataset: MotionDataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (F,) float32, for x -> (x - mean) / std.

    As released: one deviation for each group of features (HumanML3D `cal_mean_variance.ipynb`), divided by 5 for the
    root and the contacts, so that they weigh more (`train_vq.py`, feat_bias). A data set that ships its statistics
    keeps them.
    """
    groups = feature_groups(dataset.skeleton)
    if dataset.statistics is not None:
        mean, std = (a.copy() for a in dataset.statistics)
    else:
        frames = np.concatenate([clip.features for clip in dataset.clips]).astype(np.float64)
        mean, std = frames.mean(0), frames.std(0)
        for group in groups:
            std[group] = std[group].mean()
    for group in (*groups[:3], groups[-1]):
        std[group] /= FEATURE_BIAS
    return mean.astype(np.float32), std.astype(np.float32)
