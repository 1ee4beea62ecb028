"""What a person may give as a motion."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from ..config import FRAMES_PER_TOKEN
from ..errors import LampError
from ..models.lamp import Lamp
from ..motion.clip import Clip
from ..motion.features import joints_to_features
from ..readers.motion import read_motion
from .output import MotionOutput

Motion = MotionOutput | Clip | np.ndarray | Tensor | str | os.PathLike


def read_features(motion: Motion, lamp: Lamp) -> Tensor:
    """A motion of the pipeline, a `Clip`, features (T, F) in the data set's own units, or a motion file -> (T, F)
    float32 on the model's device.

    Raises `LampError` for a file that cannot be read; features of another width, fewer than 4 frames or not finite.
    """
    if isinstance(motion, (str, os.PathLike)):
        motion = read_motion(motion)
    if isinstance(motion, Clip):
        values = joints_to_features(motion.joints, motion.skeleton)
    else:
        values = motion.features if isinstance(motion, MotionOutput) else motion
    width = lamp.skeleton.feature_dim
    if not isinstance(values, (np.ndarray, Tensor)) or values.ndim != 2 or values.shape[1] != width:
        found = tuple(values.shape) if isinstance(values, (np.ndarray, Tensor)) else type(motion).__name__
        raise LampError(f"the motion is {found}, expected a motion file or features of shape (frames, {width})")
    if len(values) < FRAMES_PER_TOKEN:
        raise LampError(f"the motion has {len(values)} frames, expected at least {FRAMES_PER_TOKEN}")
    values = torch.as_tensor(values).to(lamp.device, torch.float32)
    if not values.isfinite().all():
        raise LampError("features hold NaN or infinite values; repair or drop those frames")
    return values
