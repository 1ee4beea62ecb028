"""CSV: where the root is and where it heads, a line for each frame, for character controllers and spreadsheets."""

from __future__ import annotations

import csv
import os

import numpy as np

from ..files import new_file
from ..motion.heading import headings, yaw_quaternions
from .coordinates import Coordinates
from .motion import Motion

COLUMNS = ("frame", "seconds", "x", "y", "z", "qw", "qx", "qy", "qz", "yaw")


def write_trajectory(path: str | os.PathLike, motion: Motion, coordinates: Coordinates) -> None:
    """Write the place of the pelvis and the character's heading.

    Columns: frame, seconds; x, y, z in the unit of the coordinates; qw, qx, qy, qz, the rotation about the upward axis
    that turns a character from facing forwards to its heading; yaw, the angle of that rotation in our axes, in degrees,
    positive to the left, without jumps. Raises `LampError` for a path that cannot be written.
    """
    yaw = headings(motion.joints, motion.skeleton)
    turn = coordinates.quaternions(yaw_quaternions(yaw))
    values = np.concatenate([coordinates.positions(motion.root), turn, np.degrees(yaw)[:, None]], axis=1)
    with new_file(path) as file, open(file, "w", newline="", encoding="ascii") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for frame, row in enumerate((np.round(values, 6) + 0.0).tolist()):
            writer.writerow([frame, f"{frame / motion.fps:.6f}", *(f"{value:.6f}" for value in row)])
