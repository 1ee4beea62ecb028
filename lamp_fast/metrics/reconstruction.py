"""How well a tokenizer restores motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


def protocols(dataset: MotionDataset) -> dict[str, MotionDataset]:
    """The same clips, seen three ways; what a tokenizer makes of long clips differs.

    released: clips of 40 to 199 frames, as the released loaders take them (HumanML3D's rule; longer ones are dropped).
    first_196: the first 196 frames of every clip, the longest motion that a generator of 49 tokens makes.
    whole: every clip from end to end.
    """
    usual = [clip for clip in dataset.clips if 40 <= len(clip.features) < 200]
    cut = [replace(clip, features=clip.features[:196]) for clip in dataset.clips]
    return {"released": replace(dataset, clips=usual), "first_196": replace(dataset, clips=cut), "whole": dataset}


@torch.no_grad()
def reconstruction_errors(
    model: MotionTokenizer, dataset: MotionDataset, mean: np.ndarray, std: np.ndarray
) -> ReconstructionErrors:
    """Encode, quantise and decode every clip of a data set, cut to a whole number of tokens."""
    device = next(model.parameters()).device
    mean_, std_ = (torch.from_numpy(a).to(device) for a in (mean, std))
    aligned = glob = drift = 0.0
    frames = clips = 0
    for clip in dataset.clips:
        length = len(clip.features) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
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
