"""How well a tokenizer restores motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..config import FRAMES_PER_TOKEN
from ..data import Clip, MotionDataset
from ..errors import LampError
from ..models.lamp import Lamp
from ..models.tokenizer import MotionTokenizer
from ..motion.features import features_to_joints
from .distributions import diversity, frechet_distance
from .embed import Embedder
from .generation import diversity_pairs, matching_columns
from .interval import Interval, confidence_interval

ERROR_COLUMNS = ("MPJPE mm", "global mm", "drift mm")


@dataclass(frozen=True)
class ReconstructionErrors:
    """Mean errors over all frames and joints, in millimetres; drift over clips, in millimetres.

    mpjpe: after the root of every frame is aligned (MoMask `utils/metrics.py`, calculate_mpjpe).
    mpjpe_global: as it stands, after the same start. root_drift: distance of the roots in the last frame.
    """

    mpjpe: float
    mpjpe_global: float
    root_drift: float


def protocols(dataset: MotionDataset, clips: int | None = None) -> dict[str, MotionDataset]:
    """The (first so many) clips, seen three ways; what a tokenizer makes of long clips differs.

    40 to 199 frames: those clips alone, as the released loaders take them (HumanML3D's rule).
    first 196 frames: of every clip; the longest motion that a generator of 49 tokens makes.
    whole clips: from end to end.
    """
    dataset = replace(dataset, clips=dataset.clips[:clips])
    usual = [clip for clip in dataset.clips if 40 <= len(clip.features) < 200]
    cut = [replace(clip, features=clip.features[:196]) for clip in dataset.clips]
    parts = {"40 to 199 frames": usual, "first 196 frames": cut, "whole clips": dataset.clips}
    return {name: replace(dataset, clips=part) for name, part in parts.items() if part}


@torch.inference_mode()
def measure_reconstruction(
    lamp: Lamp, clips: Sequence[Clip], embedder: Embedder, replications: int = 20, seed: int = 0
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Columns of the real motions and of what the tokenizer restores of them, as those of generated motions; the motion
    is the same in every replication, the groups and pairs are not. Raises LampError without replications.
    """
    if replications < 1:
        raise LampError(f"replications is {replications}, expected at least 1")
    motions = [torch.from_numpy(clip.features) for clip in clips]
    restored = [lamp.decode(lamp.encode(motion[None].to(lamp.device)))[0].cpu() for motion in motions]
    text = embedder.texts([clip.captions[0] for clip in clips])
    embedded = [embedder.motions(motions), embedder.motions(restored)]
    columns = []
    for rows in embedded:
        values: dict[str, list[float]] = {}
        for replication in range(replications):
            draw = np.random.default_rng(seed + replication)
            order, pairs = draw.permutation(len(clips)), diversity_pairs(len(clips), draw)
            measured = matching_columns(text[order], rows[order]) | {"Diversity": diversity(rows, *pairs)}
            for name, value in measured.items():
                values.setdefault(name, []).append(float(value))
        columns.append({name: confidence_interval(v) for name, v in values.items()})
    real, made = columns
    return real, made | {"FID": confidence_interval([frechet_distance(*embedded)])}


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
