"""Corrupting token sequences for masked training: the random draws, and the pure function that applies them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import LampError

MaskedFraction = Literal["length", "padded"]

RANDOM_CODE_PROBABILITY = 0.1
MASK_PROBABILITY = 0.88


@dataclass(frozen=True)
class MaskingDraws:
    """Everything random about one corrupted batch."""

    time: Tensor  # (B,) float32 in [0, 1): how much is masked
    order: Tensor  # (B,N) int64, a permutation per row: the lowest are masked
    use_random: Tensor  # (B,N) bool: a masked position shows a random code
    random_codes: Tensor  # (B,N) int64 in 0..K-1
    use_mask: Tensor  # (B,N) bool: of the other masked positions, those that show the mask id


@dataclass(frozen=True)
class MaskedTokens:
    """inputs (B,N) int64: what the model sees; masked (B,N) bool: the positions it has to predict."""

    inputs: Tensor
    masked: Tensor


def cosine_schedule(time: Tensor) -> Tensor:
    """Share of masked tokens at a time in [0, 1] (MaskGIT's schedule), in the dtype of `time`."""
    return torch.cos(time * math.pi * 0.5)


def masked_count(share: Tensor, total: Tensor | int) -> Tensor:
    """round(share * total), half to even in float32 as the release does, and at least 1; float32."""
    return torch.round(share * total).clamp(min=1)


def draw_masking(
    shape: tuple[int, int], num_codes: int, *, generator: torch.Generator | None, device: torch.device
) -> MaskingDraws:
    """Draw for a batch of `shape` (B,N), on the generator's device, and move to `device`."""
    source = device if generator is None else generator.device

    def uniform(*size: int) -> Tensor:
        return torch.rand(size, generator=generator, device=source).to(device)

    return MaskingDraws(
        time=uniform(shape[0]),
        order=uniform(*shape).argsort(dim=-1),
        use_random=uniform(*shape) < RANDOM_CODE_PROBABILITY,
        random_codes=torch.randint(num_codes, shape, generator=generator, device=source).to(device),
        use_mask=uniform(*shape) < MASK_PROBABILITY,
    )


def mask_tokens(
    ids: Tensor,
    lengths: Tensor,
    draws: MaskingDraws,
    *,
    mask_id: int,
    pad_id: int,
    masked_fraction_of: MaskedFraction = "length",
) -> MaskedTokens:
    """Corrupt ids (B,N) int64 of lengths (B,) tokens (released MaskTransformer.forward).

    masked_fraction_of: `length` masks a share of the true length; `padded` is the release, which counts the share over
    N and then leaves the padding out, so that a motion's own share varies. Raises LampError for another word.
    """
    valid = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    share = cosine_schedule(draws.time)
    if masked_fraction_of == "padded":
        masked = (draws.order < masked_count(share, ids.shape[1])[:, None]) & valid
    elif masked_fraction_of == "length":
        rank = draws.order.masked_fill(~valid, ids.shape[1]).argsort(dim=-1).argsort(dim=-1)
        masked = rank < masked_count(share, lengths)[:, None]
    else:
        raise LampError(f"masked_fraction_of is {masked_fraction_of!r}, expected 'length' or 'padded'")
    show_random = masked & draws.use_random
    show_mask = masked & ~draws.use_random & draws.use_mask
    inputs = ids.masked_fill(~valid, pad_id)
    inputs = torch.where(show_random, draws.random_codes, inputs).masked_fill(show_mask, mask_id)
    return MaskedTokens(inputs, masked)
