"""Mean and standard deviation as released data sets and checkpoints keep them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import LampError

FEATURE_BIAS = 5.0
NUM_ROOT, NUM_CONTACTS = 4, 4


def read_statistics(folder: str | os.PathLike) -> tuple[Tensor, Tensor]:
    """mean and std, each (F,) float32, from `Mean.npy` and `Std.npy` (a data set) or `mean.npy` and `std.npy` (`meta`).

    Raises LampError where they are missing, are no arrays, or do not fit each other.
    """
    folder = Path(folder)
    mean, std = (_read(folder, name) for name in ("mean", "std"))
    if mean.ndim != 1 or mean.shape != std.shape or not (np.isfinite(mean).all() and (std > 0).all()):
        raise LampError(
            f"{folder}: mean and std have shapes {mean.shape} and {std.shape}, expected two rows of finite numbers, "
            "the second positive; give the statistics of the training data"
        )
    return torch.from_numpy(mean), torch.from_numpy(std)


def with_bias(mean: Tensor, std: Tensor) -> Tensor:
    """The std that LaMP's models expect: root and contacts divided by 5 (released `train_vq.py`, feat_bias).

    A data set's own files are not divided, those that training leaves in `meta` are. The contacts tell them apart: they
    are 0 or 1, so that their mean p gives the deviation, √(p(1 - p)).
    """
    p = mean[-NUM_CONTACTS:].double().clamp(0, 1)
    divided = std[-NUM_CONTACTS:].double().mean() < (p * (1 - p)).sqrt().mean() / FEATURE_BIAS**0.5
    if divided:
        return std
    std = std.clone()
    std[:NUM_ROOT] /= FEATURE_BIAS
    std[-NUM_CONTACTS:] /= FEATURE_BIAS
    return std


def _read(folder: Path, name: str) -> np.ndarray:
    file = next((f for f in (folder / f"{name.capitalize()}.npy", folder / f"{name}.npy") if f.is_file()), None)
    if file is None:
        raise LampError(f"{folder} has no {name.capitalize()}.npy or {name}.npy; give the folder of the statistics")
    try:
        return np.load(file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise LampError(f"{file} is no array of numbers ({error}); get it again") from error
