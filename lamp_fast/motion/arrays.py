"""NumPy arrays in, NumPy arrays out, around functions written for torch tensors; and the checks every motion passes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..errors import LampError


def accepts_numpy(function: Callable) -> Callable:
    """Let a function of torch tensors take NumPy arrays too: arrays in give arrays out, tensors in give tensors out.

    A call that mixes both is answered in tensors.
    """

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        values = [*args, *kwargs.values()]
        has_arrays = any(isinstance(v, np.ndarray) for v in values)
        if not has_arrays:
            return function(*args, **kwargs)
        result = function(*map(_to_tensor, args), **{k: _to_tensor(v) for k, v in kwargs.items()})
        if any(isinstance(v, torch.Tensor) for v in values):
            return result
        return tuple(map(_to_array, result)) if isinstance(result, tuple) else _to_array(result)

    return wrapper


def _to_tensor(value):
    return torch.from_numpy(np.require(value, requirements=["C", "W"])) if isinstance(value, np.ndarray) else value


def _to_array(value):
    return value.numpy() if isinstance(value, torch.Tensor) else value


def check_joints(joints: torch.Tensor, num_joints: int, min_frames: int = 1) -> torch.Tensor:
    """Return joints (..., T, J, 3) as float32, or raise a `LampError` that says what is wrong with them."""
    if joints.ndim < 3 or joints.shape[-2:] != (num_joints, 3):
        raise LampError(
            f"joints have shape {tuple(joints.shape)}, expected (..., frames, {num_joints}, 3); "
            "choose the skeleton that fits"
        )
    return _check_motion(joints, "joints", joints.shape[-3], min_frames)


def check_features(features: torch.Tensor, feature_dim: int) -> torch.Tensor:
    """Return features (..., T, F) as float32, or raise a `LampError` that says what is wrong with them."""
    if features.ndim < 2 or features.shape[-1] != feature_dim:
        raise LampError(
            f"features have shape {tuple(features.shape)}, expected (..., frames, {feature_dim}); "
            "choose the skeleton that fits"
        )
    return _check_motion(features, "features", features.shape[-2], 1)


def _check_motion(motion: torch.Tensor, name: str, frames: int, min_frames: int) -> torch.Tensor:
    if not motion.is_floating_point():
        raise LampError(f"{name} have dtype {motion.dtype}, expected floating point in metres; convert them first")
    if frames < min_frames or motion.numel() == 0:
        raise LampError(
            f"{name} have shape {tuple(motion.shape)}, expected at least {min_frames} frame(s) of one motion"
        )
    if not motion.sum().isfinite():
        raise LampError(f"{name} hold NaN or infinite values, expected finite numbers; repair or drop those frames")
    return motion.float()


def to_components(motion: torch.Tensor) -> list[torch.Tensor]:
    """Values (..., T, J, C) as C components (J, M, T) of M motions.

    Each is contiguous in time, so that every step of a computation is a few long vector operations.
    """
    frames, num_joints, components = motion.shape[-3:]
    rows = motion.reshape(-1, num_joints * components).t().contiguous()
    return list(rows.view(num_joints, components, -1, frames).unbind(1))


def from_components(components: Sequence[torch.Tensor], leading_shape: Sequence[int]) -> torch.Tensor:
    """C components (J, M, T) as (..., T, J, C), where the leading shape (..., T) has M motions."""
    rows = torch.stack(list(components), dim=1)
    return rows.flatten(0, 1).flatten(1).t().contiguous().view(*leading_shape, -1, len(components))
