"""Writers of motions: BVH, NPZ, animated preview, contact sheet. `save` chooses one by the suffix of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import LampError
from ..files import check_writable
from .bvh import write_bvh
from .motion import Motion
from .npz import write_npz
from .preview import write_contact_sheet, write_gif

SUFFIXES = {".bvh": "motion for animation tools", ".npz": "arrays", ".gif": "preview", ".png": "contact sheet"}


def check_output(path: str | os.PathLike) -> None:
    """Raise a `LampError` unless `path` has a suffix that `save` knows and can be written: called before long work."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())
        raise LampError(f"cannot tell from {str(path)!r} what to write; give a file that ends in one of {known}")
    check_writable(path)


def save(outputs: Motion | Sequence[Motion], path: str | os.PathLike) -> None:
    """Write one motion, or several side by side in a picture, to a .bvh, .npz, .gif or .png file.

    Raises `LampError` for another suffix, for several motions in a file that holds one, and for a place where nothing
    can be written.
    """
    check_output(path)
    outputs = list(outputs) if isinstance(outputs, Sequence) else [outputs]
    if not outputs:
        raise LampError("there is no motion to save; give at least one")
    suffix = Path(path).suffix.lower()
    if suffix in (".gif", ".png"):
        _save_picture(outputs, path, suffix)
    elif len(outputs) > 1:
        raise LampError(f"a {suffix} file holds one motion, {len(outputs)} were given; save each under its own name")
    elif suffix == ".npz":
        write_npz(path, outputs[0])
    else:
        motion = outputs[0]
        write_bvh(path, motion.rotations, motion.root, motion.offsets, motion.skeleton, motion.fps)


def _save_picture(outputs: list[Motion], path: str | os.PathLike, suffix: str) -> None:
    skeleton, fps = outputs[0].skeleton, outputs[0].fps
    if any(output.skeleton != skeleton for output in outputs):
        raise LampError("motions of different skeletons do not fit one picture; save each under its own name")
    joints = [output.joints for output in outputs]
    if suffix == ".gif":
        write_gif(path, joints, [output.frame_prompts for output in outputs], skeleton, fps)
    else:
        write_contact_sheet(path, joints, [output.prompt for output in outputs], skeleton, fps)
