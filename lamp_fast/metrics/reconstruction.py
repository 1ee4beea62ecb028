"""How well a tokenizer restores motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import FRAMES_PER_TOKEN
from ..data import MotionDataset
from ..models.tokenizer import MotionTokenizer
from ..motion.features import features_to_joints


@dataclass(frozen=True)
class ReconstructionErrors:
    """Mean errors over all frames and joints, in millimetres; drift over clips, in millimetres.

    mpjpe: after the root of every frame is aligned (MoMask `utils/metrics.py`, calculate_mpjpe).
    mpjpe_global: as it stands, after the same start. root_drift: distance of the roots in the last frame.
    """

    mpjpe: float
    mpjpe_global: float
    root_drift: float


@torch.no_grad()
def reconstruction_errors(
    model: MotionTokenizer,
    dataset: MotionDataset,
    mean: np.ndarray,
    std: np.ndarray,
    max_frames: int | None = None,
) -> ReconstructionErrors:
    """Encode, quantise and decode the clips of a data set, each cut to a whole number of tokens.

    max_frames: how much of each clip counts, from its start; the released evaluation knows no clip of over 196 frames.
    """
    device = next(model.parameters()).device
    mean_, std_ = (torch.from_numpy(a).to(device) for a in (mean, std))
    aligned = glob = drift = 0.0
    frames = clips = 0
    for clip in dataset.clips:
        length = len(clip.features[:max_frames]) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
        if not length:
            continue
        features = torch.from_numpy(clip.features[None, :length]).to(device)
        restored = model((features - mean_) / std_).float() * std_ + mean_
        true, ours = (features_to_joints(f, dataset.skeleton)[0] for f in (features, restored))
        aligned += mpjpe(true - true[:, :1], ours - ours[:, :1]) * length
        glob += mpjpe(true, ours) * length
        drift += float((true[-1, 0] - ours[-1, 0]).norm())
        frames, clips = frames + length, clips + 1
    return ReconstructionErrors(1000 * aligned / frames, 1000 * glob / frames, 1000 * drift / clips)


def mpjpe(true: Tensor, predicted: Tensor) -> float:
    """Mean distance of joints (..., J, 3), in the unit of the input."""
    return float((true - predicted).norm(dim=-1).mean())
