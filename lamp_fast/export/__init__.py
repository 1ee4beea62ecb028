"""Writers of motions: BVH, GLB, NPZ, CSV, preview, contact sheet, page. `save` chooses by the suffix of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import LampError
from ..files import check_writable
from ..motion.animation import Animation, animate
from ..motion.heading import headings
from ..motion.rotations import EULER_ORDERS
from .bvh import write_bvh
from .coordinates import COORDINATES, Coordinates, find_coordinates
from .glb import about, write_glb
from .motion import Motion
from .npz import write_npz
from .page import write_page
from .preview import write_contact_sheet, write_gif
from .trajectory import write_trajectory

SUFFIXES = {
    ".bvh": "motion for animation tools",
    ".glb": "animated body for engines and browsers",
    ".npz": "arrays",
    ".csv": "way of the root",
    ".gif": "preview",
    ".png": "contact sheet",
    ".html": "page that plays in a browser",
}


def check_output(path: str | os.PathLike) -> None:
    """Raise a `LampError` unless `path` has a suffix that `save` knows and can be written: called before long work."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())
        raise LampError(f"cannot tell from {str(path)!r} what to write; give a file that ends in one of {known}")
    check_writable(path)


def save(
    outputs: Motion | Sequence[Motion],
    path: str | os.PathLike,
    *,
    fps: float | None = None,
    coordinates: str = "gltf",
    channel_order: str | None = None,
    root_joint: bool = False,
) -> None:
    """Write one motion, or several side by side in a picture or a page, to a file: see SUFFIXES.

    Args:
        fps: frames a second of a .bvh or .glb file; None keeps the motion's own. Other files keep it always: change the
            motion itself with `motion.editing.resample`.
        coordinates: gltf, unity, unreal or blender: the axes of a .bvh, and axes and unit of an .npz or .csv file.
        channel_order: the Euler order of every joint of a .bvh file, such as "ZXY"; None chooses one for each joint.
        root_joint: put a joint on the ground above the pelvis of a .bvh or .glb file, that carries path and heading.

    Raises:
        LampError: another suffix, several motions in a file that holds one, an option that the file has no use for, a
            place where nothing can be written.
    """
    check_output(path)
    outputs = list(outputs) if isinstance(outputs, Sequence) else [outputs]
    if not outputs:
        raise LampError("there is no motion to save; give at least one")
    suffix = Path(path).suffix.lower()
    _check_options(suffix, fps, coordinates, channel_order)
    if root_joint and suffix not in (".bvh", ".glb"):
        raise LampError(f"a {suffix} file has no root joint; ask for one in .bvh and .glb files only")
    if suffix in (".gif", ".png"):
        return _save_picture(outputs, path, suffix)
    if suffix == ".html":
        return write_page(path, outputs)
    if len(outputs) > 1:
        raise LampError(f"a {suffix} file holds one motion, {len(outputs)} were given; save each under its own name")
    motion, space = outputs[0], find_coordinates(coordinates)
    if suffix == ".npz":
        write_npz(path, motion, space)
    elif suffix == ".csv":
        write_trajectory(path, motion, space)
    else:
        animation = animate(motion.joints, motion.skeleton, motion.fps)
        if root_joint:
            animation = animation.with_root_on_ground(headings(motion.joints, motion.skeleton))
        if fps is not None:
            animation = animation.resampled(fps)
        save_animation(animation, path, motion, space, channel_order)


def save_animation(
    animation: Animation,
    path: str | os.PathLike,
    motion: Motion,
    coordinates: Coordinates = COORDINATES["gltf"],
    channel_order: str | None = None,
) -> None:
    """Write an animation made from `motion` to a .bvh or .glb file; errors as for `save`."""
    if Path(path).suffix.lower() == ".glb":
        return write_glb(path, animation, motion.prompt or "motion", about(motion))
    animation = coordinates.animation(animation)
    if channel_order is not None:
        animation = replace(animation, orders=(channel_order.upper(),) * len(animation.names))
    write_bvh(path, animation)


def _check_options(suffix: str, fps: float | None, coordinates: str, channel_order: str | None) -> None:
    find_coordinates(coordinates)
    if fps is not None and suffix not in (".bvh", ".glb"):
        raise LampError(f"a {suffix} file keeps the motion's frame rate; give fps for .bvh and .glb files only")
    if coordinates != "gltf" and suffix not in (".bvh", ".npz", ".csv"):
        reason = "is in glTF's coordinates, and every importer converts them" if suffix == ".glb" else "is a picture"
        raise LampError(f"a {suffix} file {reason}; leave coordinates out")
    if channel_order is not None and suffix != ".bvh":
        raise LampError(f"a {suffix} file has no channels; leave the channel order out")
    if channel_order is not None and channel_order.lower() not in EULER_ORDERS:
        raise LampError(f"the channel order is {channel_order!r}, expected one of {', '.join(EULER_ORDERS).upper()}")


def _save_picture(outputs: list[Motion], path: str | os.PathLike, suffix: str) -> None:
    skeleton, fps = outputs[0].skeleton, outputs[0].fps
    if any(output.skeleton != skeleton for output in outputs):
        raise LampError("motions of different skeletons do not fit one picture; save each under its own name")
    joints = [output.joints for output in outputs]
    if suffix == ".gif":
        write_gif(path, joints, [output.frame_prompts for output in outputs], skeleton, fps)
    else:
        write_contact_sheet(path, joints, [output.prompt for output in outputs], skeleton, fps)
