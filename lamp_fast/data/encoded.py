"""Clips as the tokenizer sees them: what the later stages of training and the metrics read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..config import FRAMES_PER_TOKEN
from ..models.tokenizer import MotionTokenizer
from .clips import MotionDataset

TRAINING_OFFSETS = (0, 2)  # frames at which clips are encoded for training


@dataclass(frozen=True)
class EncodedClip:
    """latents (N, code_dim) float32 and codes (N,) int64 of one clip at one frame offset."""

    latents: Tensor
    codes: Tensor
    texts: tuple[str, ...]


@torch.no_grad()
def encode_clips(
    tokenizer: MotionTokenizer,
    dataset: MotionDataset,
    mean: np.ndarray,
    std: np.ndarray,
    offsets: tuple[int, ...] = (0,),
) -> list[EncodedClip]:
    """Encode every whole clip once for each frame offset in 0..3: another offset gives other tokens of one motion."""
    tokenizer.eval()
    device = next(tokenizer.parameters()).device
    encoded = []
    for clip in dataset.clips:
        for offset in offsets:
            frames = (len(clip.features) - offset) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN
            if frames > 0:
                features = torch.from_numpy((clip.features[offset : offset + frames] - mean) / std)
                latents = tokenizer.encode(features[None].to(device))
                encoded.append(EncodedClip(latents[0].cpu(), tokenizer.quantize(latents)[0].cpu(), clip.texts))
    return encoded


def collate(clips: list[EncodedClip], max_tokens: int, draw: torch.Generator, pad_id: int) -> dict[str, Tensor]:
    """Crop each clip to at most `max_tokens` at a random place and pad to the longest.

    Returns latents (B, N, code_dim) padded with 0, codes (B, N) padded with `pad_id`, lengths (B,) in tokens.
    """
    latents, codes = [], []
    for clip in clips:
        spare = len(clip.codes) - max_tokens
        start = int(torch.randint(spare + 1, (), generator=draw)) if spare > 0 else 0
        latents.append(clip.latents[start : start + max_tokens])
        codes.append(clip.codes[start : start + max_tokens])
    return {
        "latents": pad_sequence(latents, batch_first=True),
        "codes": pad_sequence(codes, batch_first=True, padding_value=pad_id),
        "lengths": torch.tensor([len(c) for c in codes]),
    }
