"""A motion file as a clip to edit and to write again: at its own frame rate, with what the file tells beside."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.clip import Clip
from ..motion.feet import standing
from . import arrays
from .acclaim import open_amc
from .bodies import BodyMap
from .bvh import open_bvh
from .motion import read_motion
from .smpl import RATES, is_amass


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
    if str(told.get("coordinates", "gltf")) != "gltf":
        raise LampError(f"{path} is in the axes of {told['coordinates']}; write it again without coordinates")
    if suffix in (".bvh", ".amc") and path.is_file():
        fps = (open_bvh(path) if suffix == ".bvh" else open_amc(path, skeleton)).fps
    else:
        fps = float(told.get("fps", np.array(20.0)).reshape(()))
    # Told that the file has the rate of the result, the reader leaves the frames as they are.
    captured = read_motion(path, body=body, skeleton=skeleton, body_model=body_model, clip=clip, fps=20.0)
    joints = captured.joints + captured.origin
    frames = len(joints)
    found = Clip(joints, captured.skeleton, fps, np.zeros((frames, 4), dtype=bool), [""] * frames)
    contacts, prompts, seed = (told.get(name) for name in ("contacts", "frame_prompts", "seed"))
    return Clip(
        joints,
        captured.skeleton,
        fps,
        contacts if contacts is not None and contacts.shape == (frames, 4) else standing(found),
        prompts.tolist() if prompts is not None and prompts.shape == (frames,) else [captured.prompt] * frames,
        int(seed) if seed is not None and seed.size == 1 and np.issubdtype(seed.dtype, np.integer) else None,
    )


def _told(path: Path) -> dict[str, np.ndarray]:
    """What an .npz file tells beside its joints; of an AMASS file its frame rate."""
    shapes = arrays.npz_shapes(path)
    if is_amass(path):
        rate = next((name for name in RATES if name in shapes), None)
        return {"fps": arrays.read_npz(path, {rate})[rate]} if rate and np.prod(shapes[rate]) == 1 else {}
    if "joints" not in shapes:
        return {}
    known = {"contacts", "frame_prompts", "seed", "fps", "coordinates"} & shapes.keys()
    return dict(arrays.read_npz(path, known))
