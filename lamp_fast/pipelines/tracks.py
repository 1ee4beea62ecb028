"""Tokens of motions made of one or more segments: every segment is drawn, then the joints between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..config import GeneratorConfig
from ..engine import LampEngine
from ..models.decoding import DecodingOptions

TRANSITION_TOKENS = 2  # drawn again on either side of a joint

# Noise is a function of (seed, sample, step, position). Each segment and each joint takes sample numbers of its own,
# this far from the next, so that no two draws of a motion share their noise.
SAMPLES_APART = 2**16

Draw = Callable[..., Tensor]  # `LampEngine.tokens` but for its options and seed


@dataclass
class Track:
    """One motion in the making.

    conditions: (segments, D). lengths: of each segment, in tokens. sample: tells motions of one prompt apart.
    tokens: (N,) int64, N the sum of the lengths; filled by `draw_tracks`.
    """

    conditions: Tensor
    lengths: Sequence[int]
    sample: int
    tokens: Tensor = field(init=False)


def draw_tracks(engine: LampEngine, tracks: Sequence[Track], options: DecodingOptions, seed: int) -> None:
    """Fill the tokens of every track. What a track gets depends on nothing but itself, the options and the seed."""
    draw = partial(engine.tokens, options=options, seed=seed)
    _draw_segments(draw, tracks)
    for joint in range(max(len(track.lengths) for track in tracks) - 1):
        _draw_joint(draw, [track for track in tracks if joint < len(track.lengths) - 1], joint, engine.config.generator)


def _draw_segments(draw: Draw, tracks: Sequence[Track]) -> None:
    """All segments of all tracks in one batch."""
    lengths = [length for track in tracks for length in track.lengths]
    samples = [track.sample + 2 * SAMPLES_APART * i for track in tracks for i in range(len(track.lengths))]
    conditions = torch.cat([track.conditions for track in tracks])
    drawn = draw(conditions, lengths, samples=torch.tensor(samples))
    segments = iter([ids[:length] for ids, length in zip(drawn, lengths, strict=True)])
    for track in tracks:
        track.tokens = torch.cat([next(segments) for _ in track.lengths])


def _draw_joint(draw: Draw, tracks: Sequence[Track], joint: int, config: GeneratorConfig) -> None:
    """Draw again the tokens around one joint of every track, between known tokens of the two segments that meet there.

    Both prompts share that window: its condition is their mean. Each segment keeps at least one token of its own.
    """
    spans = [_window(track.lengths, joint, config.max_tokens) for track in tracks]
    windows = []
    for track, (window, wanted) in zip(tracks, spans, strict=True):
        known = track.tokens.clone()
        known[wanted] = config.mask_id
        windows.append(known[window])
    drawn = draw(
        torch.stack([track.conditions[joint : joint + 2].mean(0) for track in tracks]),
        [len(window) for window in windows],
        known=pad_sequence(windows, batch_first=True, padding_value=config.pad_id),
        samples=torch.tensor([track.sample + SAMPLES_APART * (2 * joint + 1) for track in tracks]),
    )
    for track, (window, _), ids in zip(tracks, spans, drawn, strict=True):
        track.tokens[window] = ids[: window.stop - window.start]


def _window(lengths: Sequence[int], joint: int, max_tokens: int) -> tuple[slice, slice]:
    """-> where a window of at most `max_tokens` around a joint lies in the track, and the tokens to be drawn in it."""
    left, right = lengths[joint], lengths[joint + 1]
    middle = sum(lengths[: joint + 1])
    before = min(left, max(max_tokens // 2, max_tokens - right))
    after = min(right, max_tokens - before)
    first = middle - min(TRANSITION_TOKENS, (left - 1) // 2)
    last = middle + min(TRANSITION_TOKENS, (right - 1) // 2)
    return slice(middle - before, middle + after), slice(first, last)
