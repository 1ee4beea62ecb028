"""NPZ: plain arrays, read with `numpy.load(file)`; nothing is pickled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ..files import new_file

if TYPE_CHECKING:
    from ..pipelines.output import MotionOutput


def write_npz(path: str | os.PathLike, output: MotionOutput) -> None:
    """Write everything an output holds, under the names of its fields.

    features (T, F), joints (T, J, 3), rotations (T, J, 4), offsets (J, 3), root (T, 3), contacts (T, 4), tokens (N,), fps,
    seed, prompts (P,) with prompt_starts (P,) in frames, skeleton, joint_names (J,), parents (J,).
    """
    arrays = {
        name: np.asarray(getattr(output, name))
        for name in ("features", "joints", "rotations", "offsets", "root", "contacts", "tokens", "fps", "seed")
    }
    arrays["prompts"] = np.array([segment.prompt for segment in output.segments])
    arrays["prompt_starts"] = np.array([segment.start for segment in output.segments])
    arrays["skeleton"] = np.array(output.skeleton.name)
    arrays["joint_names"] = np.array(output.skeleton.joint_names)
    arrays["parents"] = np.array(output.skeleton.parents)
    with new_file(path) as file, open(file, "wb") as stream:
        np.savez_compressed(stream, **arrays)
