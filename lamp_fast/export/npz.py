"""NPZ: plain arrays, read with `numpy.load(file)`; nothing is pickled."""

from __future__ import annotations

import os

import numpy as np

from ..files import new_file
from .coordinates import COORDINATES, Coordinates
from .motion import Motion


def write_npz(path: str | os.PathLike, motion: Motion, coordinates: Coordinates = COORDINATES["gltf"]) -> None:
    """Write everything a motion holds, under the names of its fields.

    joints (T, J, 3), rotations (T, J, 4), offsets (J, 3), root (T, 3), contacts (T, 4), frame_prompts (T,), fps,
    skeleton (its name), joint_names (J,), parents (J,), coordinates (the preset's name); of a generated motion also
    features (T, F), which stay in HumanML3D's own axes, tokens (N,) and seed. Raises `LampError` where the file cannot
    be written.
    """
    arrays = {name: coordinates.positions(getattr(motion, name)) for name in ("joints", "offsets", "root")}
    arrays["rotations"] = coordinates.quaternions(motion.rotations)
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    known = {name: getattr(motion, name, None) for name in ("features", "tokens", "seed")}
    arrays |= {name: np.asarray(value) for name, value in known.items() if value is not None}
    arrays |= {name: np.asarray(getattr(motion, name)) for name in ("contacts", "frame_prompts", "fps")}
    arrays["skeleton"] = np.array(motion.skeleton.name)
    arrays["joint_names"] = np.array(motion.skeleton.joint_names)
    arrays["parents"] = np.array(motion.skeleton.parents)
    arrays["coordinates"] = np.array(coordinates.name)
    with new_file(path) as file, open(file, "wb") as stream:
        np.savez_compressed(stream, **arrays)
