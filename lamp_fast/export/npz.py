"""NPZ: plain arrays, read with `numpy.load(file)`; nothing is pickled."""

from __future__ import annotations

import os

import numpy as np

from ..files import new_file
from .motion import Motion

FIELDS = (
    "features",
    "joints",
    "rotations",
    "offsets",
    "root",
    "contacts",
    "tokens",
    "frame_prompts",
    "fps",
    "seed",
)


def write_npz(path: str | os.PathLike, motion: Motion) -> None:
    """Write everything a motion holds, under the names of its fields.

    features (T, F), joints (T, J, 3), rotations (T, J, 4), offsets (J, 3), root (T, 3), contacts (T, 4), tokens (N,),
    frame_prompts (T,), fps, seed, skeleton (its name), joint_names (J,), parents (J,). Raises `LampError` where the
    file cannot be written.
    """
    arrays = {name: np.asarray(getattr(motion, name)) for name in FIELDS}
    arrays["skeleton"] = np.array(motion.skeleton.name)
    arrays["joint_names"] = np.array(motion.skeleton.joint_names)
    arrays["parents"] = np.array(motion.skeleton.parents)
    with new_file(path) as file, open(file, "wb") as stream:
        np.savez_compressed(stream, **arrays)
