"""What every motion capture format comes down to: named points in a hierarchy, and where they are in each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

END_SITE = " End"
"""An end site is a point too; it takes the name of its joint and this."""


@dataclass(frozen=True)
class Hierarchy:
    """P points: their names, their parents (-1 for the root, parents come first) and the rest pose (P, 3)."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each name is; of points with the same name the first."""
        return {name: i for i, name in reversed([*enumerate(self.names)])}

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        children: list[list[int]] = [[] for _ in self.names]
        for i, parent in enumerate(self.parents):
            if parent >= 0:
                children[parent].append(i)
        return tuple(map(tuple, children))

    def path(self, top: int, bottom: int) -> list[int] | None:
        """The points from `top` down to `bottom`, both included; None where `bottom` does not hang on `top`."""
        path = [bottom]
        while path[-1] != top:
            if path[-1] < 0:
                return None
            path.append(self.parents[path[-1]])
        return path[::-1]

    def meeting(self, points: Sequence[int]) -> int | None:
        """The lowest point on which all the given points hang, or that is one of them; None where there is none."""
        lines = []
        for point in points:
            line = {point}
            while (point := self.parents[point]) >= 0:
                line.add(point)
            lines.append(line)
        return max(set.intersection(*lines), default=None)  # parents come first


def with_ancestors(points: Sequence[int], parents: Sequence[int]) -> list[int]:
    """The given points and everything they hang on, parents first."""
    needed: set[int] = set()
    for point in points:
        while point >= 0 and point not in needed:
            needed.add(point)
            point = parents[point]
    return sorted(needed)


class Capture(Protocol):
    """An opened file, whose frames are read when they are asked for."""

    hierarchy: Hierarchy
    fps: float
    unit: float | None
    """Metres in one unit of length, where the format tells."""

    up: str | None
    """The axis that points up, where the format tells: "y"."""

    def positions(self, points: Sequence[int]) -> Iterator[np.ndarray]:
        """Blocks (T, len(points), 3) float64 of world positions, in the file's unit."""

    def starts_at_rest(self) -> bool:
        """Whether the first frame read was a rest pose put before the motion: its root is not turned at all."""


def about_axis(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about a coordinate axis."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*angle.shape, 3, 3))
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., j, j], matrix[..., j, k] = cos, -sin
    matrix[..., k, j], matrix[..., k, k] = sin, cos
    return matrix
