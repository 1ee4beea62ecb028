"""Mean and standard deviation that normalise motion features."""

from __future__ import annotations

import numpy as np

from ..motion.features import feature_slices
from .clips import MotionDataset

FEATURE_BIAS = 5.0


def normalisation(dataset: MotionDataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, each (F,) float32, for x -> (x - mean) / std.

    As released: one deviation for each part of the features (HumanML3D `cal_mean_variance.ipynb`), divided by 5 for the
    root and the contacts, so that they weigh more (`train_vq.py`, feat_bias). A data set that ships its statistics
    keeps them.
    """
    parts = feature_slices(dataset.skeleton)
    if dataset.statistics is not None:
        mean, std = (a.copy() for a in dataset.statistics)
    else:
        frames = np.concatenate([clip.features for clip in dataset.clips]).astype(np.float64)
        mean, std = frames.mean(0), frames.std(0)
        for part in parts.values():
            std[part] = std[part].mean()
    for name in ("yaw_velocity", "root_velocity", "root_height", "contacts"):
        std[parts[name]] /= FEATURE_BIAS
    return mean.astype(np.float32), std.astype(np.float32)
