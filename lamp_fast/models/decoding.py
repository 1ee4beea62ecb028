"""Iterative masked decoding: all tokens start masked, the certain ones are kept, the rest are drawn again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import ops
from ..errors import LampError
from .generator import MotionGenerator
from .masking import cosine_schedule, masked_count
from .seeding import row_seeds


@torch.no_grad()
def generate(
    model: MotionGenerator,
    condition: Tensor,
    lengths: Tensor | list[int],
    *,
    num_inference_steps: int = 10,
    guidance_scale: float = 4.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int | Tensor = 0,
    samples: Tensor | None = None,
    noise: Tensor | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Draw motion tokens: condition (B,C) float, lengths (B,) in tokens -> ids (B,N) int64, the pad id beyond a length.

    N is the width of `known` if given, else the longest length; lengths that lie on an accelerator are neither read nor
    checked by the host, and N is max_tokens.
    guidance_scale: the released code's s, the paper's alpha + 1; 1 leaves the unconditional branch out.
    top_k: how many codes may be drawn, by default a tenth of them, rounded up.
    seed: one 64-bit number, or (B,) int64; samples (B,) int64, by default 0..B-1, tells apart rows of the same seed.
    Equal (seed, sample) and condition give equal tokens in any batch (with `padding="exact"`).
    noise (S,B,N,K): uniform in [0, 1), in place of the seed.
    known (B,N) int64: the mask id where a token is wanted (in-painting); all others are returned untouched, also those
    beyond the length.

    Raises LampError for a model in training mode and for any argument out of its range or shape.
    Source: released `models/mask_transformer/transformer.py`, generate and edit; paper section 3.4.
    """
    config = model.config
    if model.training:
        raise LampError("generate: the model is in training mode, its dropout would disturb the result; call .eval()")
    steps_fit = isinstance(num_inference_steps, int) and num_inference_steps >= 1
    _check_number("num_inference_steps", num_inference_steps, steps_fit, "a whole number, at least 1")
    _check_number("guidance_scale", guidance_scale, math.isfinite(guidance_scale), "a finite number")
    _check_number("temperature", temperature, 0 < temperature < math.inf, "positive and finite")
    if top_k is None:
        top_k = -(-config.num_codes // 10)
    _check_number("top_k", top_k, 1 <= top_k <= config.num_codes, f"1 to {config.num_codes}")

    batch, device = condition.shape[0], condition.device
    lengths = torch.as_tensor(lengths)
    _check_number("the number of conditions", batch, batch >= 1, "at least 1")
    _check_shape("condition", condition, (batch, config.condition_dim))
    _check_shape("lengths", lengths, (batch,))
    n = _num_tokens(lengths, known, config.max_tokens)
    lengths = lengths.to(device, non_blocking=True)
    ids = _initial_ids(lengths, known, n, config.mask_id, config.pad_id)
    seeds = row_seeds(seed, batch, device)
    samples = torch.arange(batch, device=device) if samples is None else samples.to(device, non_blocking=True)
    _check_shape("samples", samples, (batch,))
    if noise is not None:
        _check_shape("noise", noise, (num_inference_steps, batch, n, config.num_codes))

    next_counts = _masked_counts((ids == config.mask_id).sum(dim=1), num_inference_steps)[1:]
    guided = guidance_scale != 1
    if guided:
        condition = condition.repeat(2, 1)
        lengths = lengths.repeat(2)
        unconditional = torch.arange(2 * batch, device=device) >= batch
    for step in range(num_inference_steps):
        if guided:
            logits, unconditional_logits = model(ids.repeat(2, 1), condition, lengths, unconditional).chunk(2)
        else:
            logits, unconditional_logits = model(ids, condition, lengths), None
        ids, _ = ops.decode_step(
            logits,
            unconditional_logits,
            ids,
            next_counts[step],
            seeds=seeds,
            samples=samples,
            noise=None if noise is None else noise[step],
            step=step,
            guidance_scale=guidance_scale,
            temperature=temperature,
            top_k=top_k,
        )
    return ids


def _masked_counts(wanted: Tensor, steps: int) -> Tensor:
    """wanted (B,) int64 -> (S+1,B) int64: how many tokens are masked when each step begins, 0 after the last.

    The schedule is made on the CPU, so that a rounding tie falls the same way on every device.
    """
    share = cosine_schedule(torch.linspace(0, 1, steps)).to(wanted.device, non_blocking=True)
    counts = masked_count(share[:, None], wanted).long()
    return torch.cat((counts, torch.zeros_like(counts[:1])))


def _num_tokens(lengths: Tensor, known: Tensor | None, max_tokens: int) -> int:
    limit = max_tokens if known is None else known.shape[-1]
    if lengths.device.type != "cpu":
        return limit
    if lengths.is_floating_point() or not ((lengths >= 1) & (lengths <= limit)).all():
        raise LampError(f"generate: lengths are {lengths.tolist()}, expected whole numbers of tokens from 1 to {limit}")
    return limit if known is not None else int(lengths.max())


def _initial_ids(lengths: Tensor, known: Tensor | None, n: int, mask_id: int, pad_id: int) -> Tensor:
    if known is None:
        known = torch.full((len(lengths), n), mask_id, device=lengths.device)
    else:
        _check_shape("known", known, (len(lengths), n))
        if known.device.type == "cpu" and not ((known >= 0) & (known <= pad_id)).all():
            raise LampError(
                f"generate: known holds ids outside 0..{pad_id}; {mask_id} asks for a token, {pad_id} is padding"
            )
        known = known.to(lengths.device, non_blocking=True)
    beyond = torch.arange(n, device=lengths.device) >= lengths[:, None]
    return known.masked_fill(beyond & (known == mask_id), pad_id)


def _check_number(name: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise LampError(f"generate: {name} is {value}, expected {expected}")


def _check_shape(name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if value.shape != expected:
        raise LampError(f"generate: {name} has shape {tuple(value.shape)}, expected {expected}")
