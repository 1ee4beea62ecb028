"""A motion file as a clip to edit and to write again: at its own frame rate, with what the file tells beside."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion.clip import Clip
from ..motion.feet import standing
from ..motion.skeleton import HUMANML3D
from . import arrays
from .bodies import BodyMap
from .glb import open_glb
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

    Prompts, contacts and seed come from an .npz or .glb file that `lamp_fast.export` wrote; elsewhere the feet are in
    contact where they stand (see `motion.feet.standing`). Raises `LampError` for an .npz file in the axes of another
    program.
    """
    joints, fps, _, _ = read_joints(path, body=body, skeleton=skeleton, body_model=body_model, clip=clip)
    nothing = Clip(joints, HUMANML3D, fps, np.zeros((len(joints), 4), dtype=bool), [""] * len(joints))
    found = replace(nothing, **told(path, nothing, clip))
    return found if found.contacts is not nothing.contacts else replace(found, contacts=standing(nothing))


def told(path: str | os.PathLike, read: Clip, clip: str | None = None) -> dict[str, Any]:
    """Those of `contacts`, `frame_prompts` and `seed` that a file tells of the motion `read` from it.

    Only .npz and .glb files that `lamp_fast.export` wrote do. Errors as for `read_motion`.
    """
    path = Path(path)
    suffix, frames = path.suffix.lower(), len(read)
    fields: dict[str, Any] = {}
    if suffix == ".npz" and clip is None:
        shapes = {"contacts": (frames, 4), "frame_prompts": (frames,), "seed": ()}
        known = {name for name, shape in arrays.npz_shapes(path).items() if shapes.get(name) == shape}
        fields = dict(arrays.read_npz(path, known))
        prompts = fields.get("frame_prompts")
        if prompts is not None:
            fields["frame_prompts"] = [str(prompt) for prompt in prompts]
        if "contacts" in fields:
            fields["contacts"] = fields["contacts"].astype(bool)
    elif suffix == ".glb":
        fields = _told_by_glb(open_glb(path, clip).extras, read)
    seed = fields.pop("seed", None)
    if isinstance(seed, int) or (isinstance(seed, np.ndarray) and np.issubdtype(seed.dtype, np.integer)):
        fields["seed"] = int(seed)
    return fields


def _told_by_glb(extras: dict, read: Clip) -> dict[str, Any]:
    """From what `export.glb.about` writes."""
    fields: dict[str, Any] = {"seed": extras.get("seed")}
    if isinstance(extras.get("prompt"), str):
        fields["frame_prompts"] = [extras["prompt"]] * len(read)
    feet = [read.skeleton.joint_names[j] for j in (*read.skeleton.left_foot, *read.skeleton.right_foot)]
    try:
        spans = [np.array(extras["contacts"][name], dtype=np.float64).reshape(-1, 2) * read.fps for name in feet]
    except (LookupError, TypeError, ValueError):
        return fields
    frames = np.arange(len(read))[:, None]
    down = [((frames > span[:, 0] - 0.5) & (frames < span[:, 1] - 0.5)).any(axis=1) for span in spans]
    return fields | {"contacts": np.stack(down, axis=1)}
