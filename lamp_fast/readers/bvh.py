"""BVH: a hierarchy of joints with offsets, then one line of channel values for each frame."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import LampError
from .hierarchy import END_SITE, Hierarchy, about_axis, with_ancestors
from .text import MAX_JOINTS, check_size, numbers, open_lines

BLOCK = 1024
COLLAPSED = 0.1  # of its offset: a joint that its position channels bring nearer to its parent than that


@dataclass
class BvhFile:
    """A BVH file: the header is read, the frames are not.

    offsets: (P, 3) in the file's unit. channels: for each point (column, axis 0..2, True for a rotation), as declared.
    A position channel takes the place of that coordinate of the offset, as in Blender and MotionBuilder; in files whose
    joints would collapse by that it is added to it (see `adds`).
    """

    path: str | os.PathLike
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[tuple[int, int, bool], ...], ...]
    num_frames: int
    fps: float
    unit = up = None

    @property
    def num_channels(self) -> int:
        return sum(map(len, self.channels))

    @cached_property
    def hierarchy(self) -> Hierarchy:
        rest = np.zeros_like(self.offsets)
        for i, parent in enumerate(self.parents):
            rest[i] = self.offsets[i] + (rest[parent] if parent >= 0 else 0)
        return Hierarchy(self.names, self.parents, rest)

    def with_offsets(self, offsets: dict[str, np.ndarray]) -> BvhFile:
        """The same file with other offsets for the joints named."""
        changed = self.offsets.copy()
        for name, offset in offsets.items():
            changed[self.hierarchy.index[name]] = offset
        return replace(self, offsets=changed)

    def values(self) -> Iterator[np.ndarray]:
        """Blocks (T, channels) float64 of the frames. Raises `LampError` for a line or a count that does not fit."""
        read = 0
        with open_lines(self.path) as lines:
            for line in lines:
                if line.lower().startswith("frame time"):
                    break
            rows = self._rows(lines)
            while block := list(itertools.islice(rows, BLOCK)):
                if read + len(block) > self.num_frames:
                    raise LampError(f"{self.path} announces {self.num_frames} frames and holds more; repair its header")
                yield self._parse(block, read)
                read += len(block)
        if read < self.num_frames:
            raise LampError(f"{self.path} announces {self.num_frames} frames and holds {read}; the file is cut short")

    def _rows(self, lines: Iterator[str]) -> Iterator[str]:
        """A line for each frame, also where the file breaks frames into several lines."""
        first = next(lines, None)
        if first is None:
            return
        if len(first.split()) >= self.num_channels:
            yield first
            yield from lines
            return
        words: list[str] = []
        for line in itertools.chain([first], lines):
            words += line.split()
            if len(words) >= self.num_channels:
                yield " ".join(words)
                words = []
        if words:
            yield " ".join(words)

    def _parse(self, block: list[str], first: int) -> np.ndarray:
        try:
            values = np.loadtxt(block, dtype=np.float64, ndmin=2, comments=None)
        except ValueError:
            values = None
        if values is None or values.shape != (len(block), self.num_channels) or not np.isfinite(values).all():
            # Line by line, to say which one is wrong.
            rows = [numbers(row.split(), f"{self.path}, frame {first + i + 1},", self.num_channels)
                    for i, row in enumerate(block)]  # fmt: skip
            values = np.array(rows)
        return values

    @cached_property
    def adds(self) -> frozenset[int]:
        """Points whose positions are told from their offsets and not from their parents, for they are far smaller.

        None, unless so are most: a single joint may come near to its parent.
        """
        moving = {i: [(c, axis) for c, axis, turns in of if not turns] for i, of in enumerate(self.channels) if i}
        moving = {i: of for i, of in moving.items() if of and np.abs(self.offsets[i]).max() > 0}
        if not moving:
            return frozenset()
        first = np.abs(next(self.values())[0])
        sizes = {i: first[[column for column, _ in of]].max() for i, of in moving.items()}
        small = {i for i, size in sizes.items() if size < COLLAPSED * np.abs(self.offsets[i]).max()}
        return frozenset(small) if 2 * len(small) > len(moving) else frozenset()

    def starts_at_rest(self) -> bool:
        first = next(self.values())[0]
        turns = [first[column] for column, _, is_rotation in self.channels[0] if is_rotation]
        return not any(turns)

    def positions(self, points: Sequence[int]) -> Iterator[np.ndarray]:
        needed = with_ancestors(points, self.parents)
        for values in self.values():
            places, turns = self._place(values, needed)
            yield np.stack([places[point] for point in points], axis=1)

    def _place(self, values: np.ndarray, needed: list[int]) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        places: dict[int, np.ndarray] = {}
        turns: dict[int, np.ndarray] = {}
        for point in needed:
            place = np.broadcast_to(self.offsets[point], (len(values), 3)).copy()
            turn = np.broadcast_to(np.eye(3), (len(values), 3, 3))
            for column, axis, is_rotation in self.channels[point]:
                if is_rotation:
                    turn = turn @ about_axis(axis, values[:, column])
                elif point in self.adds:
                    place[:, axis] += values[:, column]
                else:
                    place[:, axis] = values[:, column]
            parent = self.parents[point]
            if parent >= 0:
                place = places[parent] + (turns[parent] @ place[..., None])[..., 0]
                turn = turns[parent] @ turn
            places[point], turns[point] = place, turn
        return places, turns


def open_bvh(path: str | os.PathLike) -> BvhFile:
    """Read the header of a BVH file: any joints, any channels, any frame rate.

    Raises `LampError` for what is no BVH file, a damaged hierarchy, unknown channels, more joints or frames than any
    capture has, and a frame time that is not above zero.
    """
    with open_lines(path) as lines:
        header = _Header(path)
        if next(lines, "").upper() != "HIERARCHY":
            raise LampError(f"{path} does not begin with HIERARCHY; expected a BVH file")
        for line in lines:
            if line.upper() == "MOTION":
                break
            for statement in line.replace("{", "\n{\n").replace("}", "\n}\n").split("\n"):
                if statement.strip():
                    header.read(statement.strip())
        else:
            raise LampError(f"{path} has no line MOTION; the file is cut short")
        header.check()
        num_frames, seconds = _counts(path, next(lines, ""), next(lines, ""))
    check_size(path, num_frames, header.num_channels)
    offsets = np.array([offset for offset in header.offsets])
    channels = tuple(map(tuple, header.channels))
    return BvhFile(path, tuple(header.names), tuple(header.parents), offsets, channels, num_frames, frame_rate(seconds))


def frame_rate(seconds: float) -> float:
    """Frames a second from the rounded time of a frame: 0.0083333 is 120, 0.033333 is 30."""
    fps = 1 / seconds
    return float(round(fps)) if abs(fps - round(fps)) < 2e-4 * fps else fps


def _counts(path: str | os.PathLike, frames: str, time: str) -> tuple[int, float]:
    name, _, count = frames.partition(":")
    if name.strip().lower() != "frames" or not count.strip().isdecimal():
        raise LampError(f"{path} has {frames[:60]!r} after MOTION, expected 'Frames: ' and a whole number")
    name, _, seconds = time.partition(":")
    if name.strip().lower() != "frame time":
        raise LampError(f"{path} has {time[:60]!r} after the number of frames, expected 'Frame Time: ' and seconds")
    (value,) = numbers(seconds.split(), f"{path}, Frame Time,", 1)
    if not 1e-4 <= value <= 10:
        raise LampError(f"{path} has a frame time of {value:g} seconds, expected between 0.0001 and 10")
    return int(count[:20]), value


class _Header:
    """The hierarchy while it is read, one statement at a time."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float] | None] = []
        self.channels: list[list[tuple[int, int, bool]]] = []
        self.num_channels = 0
        self.open: list[int] = []
        self.announced = False

    def read(self, statement: str) -> None:
        word, _, rest = statement.replace("\t", " ").partition(" ")
        word, rest = word.upper(), rest.strip()
        if word in ("ROOT", "JOINT"):
            self._add(rest, is_root=word == "ROOT")
        elif word in ("END", "ENDSITE") and self.open:
            self._add(self.names[self.open[-1]] + END_SITE, is_root=False)
        elif word == "{" and self.announced:
            self.open.append(len(self.names) - 1)
            self.announced = False
        elif word == "}" and self.open and not self.announced:
            self.open.pop()
        elif word == "OFFSET" and self.open and self.offsets[self.open[-1]] is None:
            self.offsets[self.open[-1]] = numbers(rest.split(), self._where("OFFSET"), 3)
        elif word == "CHANNELS" and self.open and not self.channels[self.open[-1]]:
            self._declare(rest.split())
        else:
            raise LampError(f"{self.path} has {statement[:60]!r} out of place in its hierarchy; the file is damaged")

    def _where(self, what: str) -> str:
        return f"{self.path}, {what} of {self.names[self.open[-1]][:60]!r},"

    def _add(self, name: str, is_root: bool) -> None:
        if self.announced or is_root == bool(self.open):
            raise LampError(
                f"{self.path} has the joint {name[:60]!r} out of place in its hierarchy; the file is damaged"
            )
        if is_root and self.names:
            raise LampError(f"{self.path} holds several characters (ROOT {name[:60]}); save each in a file of its own")
        if len(self.names) == MAX_JOINTS:
            raise LampError(f"{self.path} has more than {MAX_JOINTS} joints, expected a human skeleton")
        self.names.append(name)
        self.parents.append(self.open[-1] if self.open else -1)
        self.offsets.append(None)
        self.channels.append([])
        self.announced = True

    def _declare(self, words: list[str]) -> None:
        where, names = self._where("CHANNELS"), words[1:]
        if not words or not words[0].isdecimal() or int(words[0][:9]) != len(names) or len(names) > 6:
            raise LampError(f"{where} says {' '.join(words)[:80]!r}, expected a count up to 6 and as many names")
        for name in names:
            axis, kind = "XYZ".find(name[:1].upper()), name[1:].lower()
            if axis < 0 or kind not in ("position", "rotation"):
                raise LampError(f"{where} names {name[:40]!r}, expected Xposition, Xrotation and so on")
            self.channels[self.open[-1]].append((self.num_channels, axis, kind == "rotation"))
            self.num_channels += 1

    def check(self) -> None:
        if not self.names or self.open or self.announced:
            raise LampError(f"{self.path} has a hierarchy that does not close; the file is damaged")
        if None in self.offsets:
            missing = self.names[self.offsets.index(None)]
            raise LampError(f"{self.path} gives no OFFSET for {missing[:60]!r}; the file is damaged")
        if not self.num_channels:
            raise LampError(f"{self.path} declares no channels, so nothing moves; expected CHANNELS for its joints")
