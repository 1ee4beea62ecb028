"""Where the axes of a program point, and its unit. Ours are glTF's: right-handed, Y up, facing +Z, metres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import LampError
from ..motion.animation import Animation


@dataclass(frozen=True)
class Coordinates:
    """axes: (3, 3), a signed permutation that turns our axes into theirs. units: their units in a metre."""

    name: str
    axes: tuple[tuple[int, int, int], ...]
    units: float = 1.0

    def positions(self, ours: np.ndarray) -> np.ndarray:
        """Positions (..., 3) in metres, in their axes and unit."""
        return self.units * (np.asarray(ours) @ np.array(self.axes, dtype=np.float64).T)

    def quaternions(self, ours: np.ndarray) -> np.ndarray:
        """Unit quaternions (..., 4), w first, in their axes. A mirrored space turns the other way round."""
        ours, axes = np.asarray(ours), np.array(self.axes, dtype=np.float64)
        return np.concatenate([ours[..., :1], np.linalg.det(axes).round() * (ours[..., 1:] @ axes.T)], axis=-1)

    def animation(self, ours: Animation) -> Animation:
        """An animation in their axes; it stays in metres."""
        axes = replace(self, units=1.0)
        return replace(
            ours,
            offsets=axes.positions(ours.offsets),
            rotations=axes.quaternions(ours.rotations),
            root=axes.positions(ours.root),
            pelvis=None if ours.pelvis is None else axes.positions(ours.pelvis),
        )


COORDINATES = {
    space.name: space
    for space in (
        Coordinates("gltf", ((1, 0, 0), (0, 1, 0), (0, 0, 1))),  # right-handed, Y up, facing +Z; also Godot
        Coordinates("unity", ((-1, 0, 0), (0, 1, 0), (0, 0, 1))),  # left-handed, Y up, facing +Z
        Coordinates("unreal", ((1, 0, 0), (0, 0, 1), (0, 1, 0)), units=100.0),  # left-handed, Z up, facing +Y
        Coordinates("blender", ((1, 0, 0), (0, 0, -1), (0, 1, 0))),  # right-handed, Z up, facing -Y
    )
}


def find_coordinates(name: str) -> Coordinates:
    """The preset of that name; raises `LampError` for another."""
    if name not in COORDINATES:
        raise LampError(f"coordinates are {name!r}, expected one of {', '.join(COORDINATES)}")
    return COORDINATES[name]
