"""What was asked for: one motion per prompt, each of one or more segments."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real

from ..errors import LampError

Prompts = str | Sequence[str] | Sequence[tuple[str, float | None]]

MAX_SEGMENTS = 100

_THEN = re.compile(r",?\s+(?:and\s+)?then\s+", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?:(?:an?|the|this|one)\s+(?:\w+\s+)?(?:person|man|woman|human|figure|character|guy|boy|girl|child|kid|actor|dancer)"
    r"|someone|somebody|he|she|they)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SegmentRequest:
    """One prompt and the number of tokens that it is to last; None leaves that to the length predictor."""

    prompt: str
    num_tokens: int | None = None


@dataclass(frozen=True)
class Limits:
    """What one prompt may last."""

    max_tokens: int
    seconds_per_token: float

    @property
    def max_seconds(self) -> float:
        return self.max_tokens * self.seconds_per_token

    def tokens(self, seconds: float, segments: int = 1) -> int:
        """The whole number of tokens nearest to `seconds`, at least one for each segment; else a `LampError`."""
        if isinstance(seconds, bool) or not isinstance(seconds, Real):
            raise LampError(f"seconds is {seconds!r}, expected a number or None, which predicts the length")
        if not 0 < seconds < math.inf:
            raise LampError(f"seconds is {seconds:g}, expected a number above 0; leave it out to predict the length")
        tokens = max(round(seconds / self.seconds_per_token), segments)
        if tokens > segments * self.max_tokens:
            prompts = "one prompt gives" if segments == 1 else f"{segments} prompts give"
            raise LampError(
                f"seconds is {seconds:g}, but {prompts} at most {segments * self.max_seconds:g} s; "
                "for a longer motion give a list of (prompt, seconds)"
            )
        return tokens


def parse(
    prompt: Prompts, seconds: float | None, limits: Limits, split_on_then: bool = False
) -> tuple[list[list[SegmentRequest]], bool]:
    """-> the segments of every motion, and whether the caller asked for several motions.

    Raises `LampError` for anything else than a text, a list of texts or a list of (text, seconds), and for seconds that
    cannot be had.
    """
    motions, several = _motions(prompt, seconds, limits, split_on_then)
    longest = max(map(len, motions))
    if longest > MAX_SEGMENTS:
        raise LampError(f"one motion has {longest} segments, expected at most {MAX_SEGMENTS}; make several motions")
    return motions, several


def _motions(prompt: Prompts, seconds: float | None, limits: Limits, split_on_then: bool):
    if isinstance(prompt, str):
        return [_segments(prompt, seconds, limits, split_on_then)], False
    if not isinstance(prompt, Sequence) or not prompt:
        raise LampError(f"the prompt is {prompt!r}, expected a text, a list of texts or a list of (text, seconds)")
    if all(isinstance(p, str) for p in prompt):
        return [_segments(p, seconds, limits, split_on_then) for p in prompt], True
    if seconds is not None:
        raise LampError("seconds stand beside each prompt in a list of (prompt, seconds); leave the other seconds out")
    return [[_timed(pair, limits) for pair in prompt]], False


def split_then(prompt: str) -> list[str]:
    """ "a person walks, then waves" -> ["a person walks", "a person waves"].

    A part that names nobody gets the first part's subject, if that is found at its start.
    """
    first, *others = _THEN.split(prompt.strip())
    subject = _SUBJECT.match(first)
    return [first] + [
        f"{subject[0]} {part}" if subject and not _SUBJECT.match(part) else part for part in others if part.strip()
    ]


def _segments(prompt: str, seconds: float | None, limits: Limits, split_on_then: bool) -> list[SegmentRequest]:
    """`seconds`, if given, are shared out evenly."""
    parts = [SegmentRequest(text) for text in (split_then(prompt) if split_on_then else [prompt])]
    if seconds is None:
        return parts
    share, more = divmod(limits.tokens(seconds, len(parts)), len(parts))
    return [replace(part, num_tokens=share + (i < more)) for i, part in enumerate(parts)]


def _timed(pair: object, limits: Limits) -> SegmentRequest:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
        raise LampError(f"{pair!r} stands among the prompts, expected either texts alone or (text, seconds) alone")
    text, seconds = pair
    return SegmentRequest(text, None if seconds is None else limits.tokens(seconds))
