"""Text files of unknown origin, read line by line within bounds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import LampError

MAX_LINE = 1 << 20
WHITE = " \t\r\n\f\v\0\x1a"
"""What lines may end in: also the end marks of old systems."""
MAX_BLANK_LINES = 10_000
MAX_JOINTS = 2_000
MAX_FRAMES = 500_000
MAX_VALUES = 200_000_000
"""Numbers in one file: more than an hour of a large rig at 120 frames a second."""


@contextmanager
def open_lines(path: str | os.PathLike) -> Iterator[Iterator[str]]:
    """Yield the lines of a text file that are not blank, stripped; a byte order mark and any line ends are accepted.

    Raises `LampError` for a file that cannot be opened, a line of more than a million characters, and endless blanks.
    """
    try:
        stream = open(path, encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise LampError(f"cannot read {path} ({error.strerror or error}); give a file that exists") from error
    with stream:
        yield _lines(stream, path)


def _lines(stream, path: str | os.PathLike) -> Iterator[str]:
    blank = 0
    while line := stream.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise LampError(f"{path} has a line of more than {MAX_LINE} characters; it is no motion capture text file")
        line = line.strip(WHITE)
        blank = 0 if line else blank + 1
        if blank > MAX_BLANK_LINES:
            raise LampError(f"{path} has more than {MAX_BLANK_LINES} blank lines in a row; the file is damaged")
        if line:
            yield line


def numbers(words: Sequence[str], where: str, count: int | None = None) -> list[float]:
    """The words as finite numbers, `count` of them; `where` begins the sentence of the `LampError` otherwise."""
    if count is not None and len(words) != count:
        raise LampError(f"{where} has {len(words)} numbers, expected {count}")
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            hint = "; write decimal points, not commas" if "," in word else ""
            raise LampError(f"{where} has {word[:40]!r} where a number was expected{hint}") from None
        if not math.isfinite(values[-1]):
            raise LampError(f"{where} has the value {word[:40]}, expected a finite number; repair or drop that frame")
    return values


def check_size(path: str | os.PathLike, frames: int, channels: int) -> None:
    """Raise `LampError` for a motion that is empty or larger than any capture."""
    if frames < 1:
        raise LampError(f"{path} holds no frames, expected at least one")
    if frames > MAX_FRAMES or frames * channels > MAX_VALUES:
        raise LampError(
            f"{path} announces {frames} frames of {channels} channels, more than the {MAX_FRAMES} frames or "
            f"{MAX_VALUES} numbers that are read at once; cut it into takes"
        )
