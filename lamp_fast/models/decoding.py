"""Iterative masked decoding: all tokens start masked, the certain ones are kept, the rest are drawn again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import ops
from ..config import GeneratorConfig
from ..errors import LampError
from ..kernels.decode_step import KEPT
from .generator import MotionGenerator
from .masking import masked_count
from .seeding import row_samples, row_seeds

MASK_FREE_SHARE = 0.16  # released MaskTransformer.edit without a mask

# (ids (B,N), limit) -> logits and unconditional logits or None, each (B,N,K), or (B,limit,K) as `ops.decode_step` takes
# them; limit: how many tokens of a sample are masked, at most.
Score = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]


def _check(name: str, value: float, fits: bool, expected: str) -> None:
    if not fits:
        raise LampError(f"generate: {name} is {value}, expected {expected}")


@dataclass(frozen=True)
class DecodingOptions:
    """How tokens are drawn.

    num_inference_steps: how often the model is asked. guidance_scale: the released code's s, the paper's alpha + 1;
    1 leaves the unconditional branch out. top_k: how many codes may be drawn, by default a tenth of them, rounded up.

    Raises LampError for a number out of its range.
    """

    num_inference_steps: int = 10
    guidance_scale: float = 4.0
    temperature: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        steps, scale = self.num_inference_steps, self.guidance_scale
        _check("num_inference_steps", steps, isinstance(steps, int) and steps >= 1, "a whole number, at least 1")
        _check("guidance_scale", scale, math.isfinite(scale), "a finite number")
        _check("temperature", self.temperature, 0 < self.temperature < math.inf, "positive and finite")

    @property
    def guided(self) -> bool:
        return self.guidance_scale != 1

    def sampling(self, num_codes: int) -> dict[str, float | int]:
        """What `ops.decode_step` takes of them. Raises LampError for more codes than there are."""
        top_k = -(-num_codes // 10) if self.top_k is None else self.top_k
        _check("top_k", top_k, 1 <= top_k <= num_codes, f"1 to {num_codes}")
        return {"guidance_scale": self.guidance_scale, "temperature": self.temperature, "top_k": top_k}


DEFAULT_OPTIONS = DecodingOptions()


@torch.no_grad()
def generate(
    model: MotionGenerator,
    condition: Tensor,
    lengths: Tensor | list[int],
    options: DecodingOptions = DEFAULT_OPTIONS,
    *,
    seed: int | Tensor = 0,
    samples: Tensor | None = None,
    noise: Tensor | None = None,
    known: Tensor | None = None,
) -> Tensor:
    """Draw motion tokens: condition (B,C) float, lengths (B,) in tokens -> ids (B,N) int64, the pad id beyond a length.

    N is the width of `known` if given, else the longest length; lengths that lie on an accelerator are neither read nor
    checked by the host, and N is max_tokens.
    seed: one 64-bit number, or (B,) int64; samples (B,) int64, by default 0..B-1, tells apart rows of the same seed.
    Equal (seed, sample) and condition give equal tokens in any batch (with `padding="exact"`).
    noise (S,B,N,K): uniform in [0, 1), in place of the seed.
    known (B,N) int64: the mask id where a token is wanted (in-painting); all others are returned untouched, also those
    beyond the length.

    Raises LampError for a model in training mode and for any argument out of its range or shape.
    Source: released `models/mask_transformer/transformer.py`, generate and edit; paper section 3.4.
    """
    config = model.config
    batch, device = condition.shape[0], condition.device
    lengths = _checked(model, condition, lengths)
    n = num_tokens(lengths, known, config.max_tokens)
    lengths = lengths.to(device, non_blocking=True)
    ids = initial_ids(lengths, known, n, config)
    seeds, samples = row_seeds(seed, batch, device), row_samples(samples, batch, device)
    if noise is not None:
        _check_shape("noise", noise, (options.num_inference_steps, batch, n, config.num_codes))
    counts = masked_counts((ids == config.mask_id).sum(dim=1), options.num_inference_steps)
    score = model_score(model, condition, lengths, options.guided)
    return draw_masked(score, ids, counts, config.num_codes, options, seeds=seeds, samples=samples, noise=noise)


def draw_masked(
    score: Score,
    ids: Tensor,
    counts: Tensor,
    num_codes: int,
    options: DecodingOptions,
    *,
    seeds: Tensor,
    samples: Tensor,
    noise: Tensor | None = None,
) -> Tensor:
    """The loop of `generate`: ids (B,N) int64 -> the same with a code in place of every mask id.

    counts (B,S+1) int64: `masked_counts` of the mask ids. seeds, samples (B,) int64, noise (S,B,N,K) or None.
    Nothing is read by the host and nothing is copied from it, so that a graph can capture the loop.
    """
    sampling = options.sampling(num_codes)
    [limits] = masked_counts(torch.tensor([ids.shape[1]]), options.num_inference_steps).tolist()
    next_counts = counts.T.contiguous()[1:]
    for step in range(options.num_inference_steps):
        logits, unconditional_logits = score(ids, limits[step])
        ids, _ = ops.decode_step(
            logits,
            unconditional_logits,
            ids,
            next_counts[step],
            seeds=seeds,
            samples=samples,
            noise=None if noise is None else noise[step],
            step=step,
            **sampling,
        )
    return ids


@torch.no_grad()
def redraw(
    model: MotionGenerator,
    ids: Tensor,
    condition: Tensor,
    lengths: Tensor | list[int],
    options: DecodingOptions = DEFAULT_OPTIONS,
    *,
    first: Tensor | None = None,
    seed: int | Tensor = 0,
    samples: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """Bring a motion nearer to a text: every step draws the 16 % of its tokens again that fit the text least.

    ids (B,N) int64 codes -> ids (B,N) int64, the pad id beyond a length. first (B,N) bool: what the first step draws,
    since nothing is scored yet; by default the first 16 %. The other arguments and errors are those of `generate`.
    Source: released MaskTransformer.edit without a mask.
    """
    config = model.config
    batch, device = condition.shape[0], condition.device
    lengths = _checked(model, condition, lengths).to(device, non_blocking=True)
    seeds, samples = row_seeds(seed, batch, device), row_samples(samples, batch, device)
    _check_shape("ids", ids, (batch, ids.shape[-1]))
    beyond = torch.arange(ids.shape[1], device=device) >= lengths[:, None]
    wanted = ids.new_full(ids.shape, config.mask_id).masked_fill(beyond, config.pad_id)
    ids = ids.masked_fill(beyond, config.pad_id)
    count = masked_count(torch.tensor(MASK_FREE_SHARE), lengths)[:, None]
    confidence = torch.zeros(ids.shape, device=device).masked_fill(beyond, KEPT)
    score, sampling = model_score(model, condition, lengths, options.guided), options.sampling(config.num_codes)
    for step in range(options.num_inference_steps):
        again = confidence.argsort(dim=1, stable=True).argsort(dim=1) < count
        if step == 0 and first is not None:
            again = first & ~beyond
        logits, unconditional_logits = score(ids.masked_fill(again, config.mask_id), ids.shape[1])
        # A code for every position, as every one is scored; only the worst take theirs.
        drawn, confidence = ops.decode_step(
            logits,
            unconditional_logits,
            wanted,
            torch.zeros_like(lengths),
            seeds=seeds,
            samples=samples,
            noise=None if noise is None else noise[step],
            step=step,
            **sampling,
        )
        ids = torch.where(again, drawn, ids)
    return ids


def model_score(model: MotionGenerator, condition: Tensor, lengths: Tensor, guided: bool) -> Score:
    """Scores of all positions by the model as it is, both branches of the guidance in one batch."""
    if not guided:
        return lambda ids, limit: (model(ids, condition, lengths), None)
    batch = len(condition)
    both, twice = condition.repeat(2, 1), lengths.repeat(2)
    unconditional = torch.arange(2 * batch, device=condition.device) >= batch
    return lambda ids, limit: model(ids.repeat(2, 1), both, twice, unconditional).chunk(2)


def _checked(model: MotionGenerator, condition: Tensor, lengths: Tensor | list[int]) -> Tensor:
    """lengths as a tensor; raises LampError for what the model cannot take."""
    if model.training:
        raise LampError("generate: the model is in training mode, its dropout would disturb the result; call .eval()")
    lengths, batch = torch.as_tensor(lengths), len(condition)
    _check("the number of conditions", batch, batch >= 1, "at least 1")
    _check_shape("condition", condition, (batch, model.config.condition_dim))
    _check_shape("lengths", lengths, (batch,))
    return lengths


def masked_counts(wanted: Tensor, steps: int) -> Tensor:
    """wanted (B,) int64 -> (B,S+1) int64: how many tokens are masked when each step begins, 0 after the last.

    The schedule is made on the CPU, its cosine in float64, so that a rounding tie falls the same way on every device,
    processor and backend.
    """
    angle = torch.linspace(0, 1, steps) * math.pi * 0.5
    share = angle.double().cos().float().to(wanted.device, non_blocking=True)
    counts = masked_count(share, wanted[:, None]).long()
    return torch.cat((counts, torch.zeros_like(counts[:, :1])), dim=1)


def num_tokens(lengths: Tensor, known: Tensor | None, max_tokens: int) -> int:
    """How wide the batch is; raises LampError for lengths out of range."""
    limit = max_tokens if known is None else known.shape[-1]
    if lengths.device.type != "cpu":
        return limit
    if lengths.is_floating_point() or not ((lengths >= 1) & (lengths <= limit)).all():
        raise LampError(f"generate: lengths are {lengths.tolist()}, expected whole numbers of tokens from 1 to {limit}")
    return limit if known is not None else int(lengths.max())


def initial_ids(lengths: Tensor, known: Tensor | None, n: int, config: GeneratorConfig) -> Tensor:
    """lengths (B,), known (B,N) or None, as `generate` takes them -> ids (B,N) where decoding begins."""
    mask_id, pad_id = config.mask_id, config.pad_id
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


def _check_shape(name: str, value: Tensor, expected: tuple[int, ...]) -> None:
    if value.shape != expected:
        raise LampError(f"generate: {name} has shape {tuple(value.shape)}, expected {expected}")
