"""Seeds and samples as the noise of `ops.philox_uniform` takes them: a key and a number for each row of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import LampError


def row_seeds(seed: int | Tensor, batch: int, device: torch.device) -> Tensor:
    """One whole number of 64 bits, signed or not, or (B,) int64 -> (B,) int64 on `device`.

    Raises LampError for a number of more bits or another shape.
    """
    if isinstance(seed, Tensor):
        if seed.shape != (batch,) or seed.dtype != torch.int64:
            raise LampError(f"seed is {seed.dtype} of shape {tuple(seed.shape)}, expected int64 of shape ({batch},)")
        return seed.to(device, non_blocking=True)
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**64:
        raise LampError(f"seed is {seed!r}, expected a whole number of at most 64 bits")
    return torch.full((batch,), seed - 2**64 if seed >= 2**63 else seed, dtype=torch.int64, device=device)


def row_samples(samples: Tensor | None, batch: int, device: torch.device) -> Tensor:
    """(B,) int64 on `device`, by default 0..B-1, which tells rows of one seed apart. LampError for another shape."""
    if samples is None:
        return torch.arange(batch, device=device)
    if samples.shape != (batch,):
        raise LampError(f"samples has shape {tuple(samples.shape)}, expected {(batch,)}")
    return samples.to(device, non_blocking=True)
