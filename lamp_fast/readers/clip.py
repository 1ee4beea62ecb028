"""A motion file as a clip to edit and to write again: at its own frame rate, with what the file tells beside."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..motion.clip import Clip
from ..motion.feet import standing
from ..motion.skeleton import HUMANML3D
from . import arrays
from .bodies import BodyMap
from .motion import read_joints


def read_clip(
    path: str | os.PathLike,
    *,
    body: BodyMap | str | os.PathLike | None = None,
    skeleton: str | os.PathLike | None = None,
    body_model: str | os.PathLike | None = None,
    clip: str | None = None,
) -> Clip:
    """Read a motion file; arguments and errors as for `read_motion`.

    Prompts, contacts and seed come from an .npz file that `lamp_fast.export` wrote; elsewhere the feet are in contact
    where they stand (see `motion.feet.standing`). Raises `LampError` for an .npz file in the axes of another program.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    told = _told(path) if suffix == ".npz" and clip is None and path.is_file() else {}
    joints, fps, _, _ = read_joints(path, body=body, skeleton=skeleton, body_model=body_model, clip=clip)
    frames = len(joints)
    found = Clip(joints, HUMANML3D, fps, np.zeros((frames, 4), dtype=bool), [""] * frames)
    contacts, prompts, seed = (told.get(name) for name in ("contacts", "frame_prompts", "seed"))
    return Clip(
        joints,
        HUMANML3D,
        fps,
        contacts if contacts is not None and contacts.shape == (frames, 4) else standing(found),
        prompts.tolist() if prompts is not None and prompts.shape == (frames,) else [""] * frames,
        int(seed) if seed is not None and seed.size == 1 and np.issubdtype(seed.dtype, np.integer) else None,
    )


def _told(path: Path) -> dict[str, np.ndarray]:
    """What an .npz file tells beside its joints."""
    shapes = arrays.npz_shapes(path)
    if "joints" not in shapes:
        return {}
    return dict(arrays.read_npz(path, {"contacts", "frame_prompts", "seed"} & shapes.keys()))
