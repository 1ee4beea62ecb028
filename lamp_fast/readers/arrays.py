"""NumPy files of joints or features. Sizes are checked before anything is read, and nothing is unpickled."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..errors import LampError
from ..motion.features import features_to_joints
from ..motion.skeleton import HUMANML3D

MAX_BYTES = 1 << 29
MILLIMETRES = 0.001


def read_joints(path: str | os.PathLike, clip: str | None = None) -> tuple[np.ndarray, float, str]:
    """Joints (T, 22, 3) in metres, their frame rate and their name.

    Known are: an .npz with `joints` (and `fps`), as `lamp_fast.export` writes it; an .npz with one motion, or with
    several of which `clip` names one; an .npy of HumanML3D's joints or features. Whole numbers are millimetres, other
    numbers metres. Raises `LampError` for anything else.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _as_joints(path, read_npy(path)), HUMANML3D.fps, path.stem
    if clip is not None:
        return _as_joints(path, read_npz(path, {clip})[clip]), HUMANML3D.fps, clip
    shapes = npz_shapes(path)
    if "joints" in shapes:
        fields = read_npz(path, {"joints", "fps", "coordinates"} & shapes.keys())
        axes = str(fields.get("coordinates", "gltf"))
        if axes != "gltf":
            raise LampError(
                f"{path} is in the coordinates of {axes[:40]}; expected gltf: save it without other coordinates"
            )
        fps = fields.get("fps", np.array(HUMANML3D.fps))
        if fps.size != 1 or not np.issubdtype(fps.dtype, np.number) or not 0 < float(fps.reshape(())) < 1e4:
            raise LampError(f"{path} has an fps that is no number above zero")
        return _as_joints(path, fields["joints"]), float(fps.reshape(())), path.stem
    motions = motion_names(path)
    if len(motions) > 1:
        raise LampError(f"{path} holds {len(motions)} motions; name one (clip=), for example {', '.join(motions[:3])}")
    return _as_joints(path, read_npz(path, {motions[0]})[motions[0]]), HUMANML3D.fps, motions[0]


def motion_names(path: str | os.PathLike) -> list[str]:
    """The arrays of an .npz file that can be motions: (T, 22, 3). Raises `LampError` where there are none."""
    shapes = npz_shapes(path)
    motions = [name for name, shape in shapes.items() if len(shape) == 3 and shape[1:] == (HUMANML3D.num_joints, 3)]
    if not motions:
        raise LampError(f"{path} holds no joints of shape (frames, 22, 3), only {', '.join(shapes)[:200] or 'nothing'}")
    return motions


def npz_shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """The shape of every array of numbers in an .npz file, from the headers alone."""
    shapes = {}
    with _open_zip(path) as archive:
        for member in archive.infolist():
            header = _header(path, archive, member)
            if header is not None:
                shapes[member.filename.removesuffix(".npy")] = header
    return shapes


def read_npz(path: str | os.PathLike, names: set[str]) -> Mapping[str, np.ndarray]:
    """Some arrays of an .npz file. Raises `LampError` for Python objects, more than half a gigabyte, missing bytes."""
    arrays = {}
    with _open_zip(path) as archive:
        for name in names:
            try:
                member = archive.getinfo(f"{name}.npy")
            except KeyError:
                raise LampError(f"{path} has no array {name!r}") from None
            if _header(path, archive, member) is None:
                raise LampError(f"{path}: the array {name!r} holds Python objects, which are never read; save numbers")
            with archive.open(member) as stream:
                arrays[name] = _load(path, name, stream)
    return arrays


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of an .npy file, under the same conditions as `read_npz`."""
    name = Path(path).stem
    try:
        with open(path, "rb") as stream:
            header = _read_header(stream)
    except Exception as error:  # damaged headers raise whatever Python's parser does
        raise LampError(f"cannot read {path} ({_reason(error)}); expected an .npy file of numbers") from error
    _check(path, name, header, os.path.getsize(path))
    with open(path, "rb") as stream:
        return _load(path, name, stream)


def npy_frames(path: str | os.PathLike) -> int:
    """The first dimension of an .npy file, from its header. Raises `ValueError` or `OSError` where there is none."""
    with open(path, "rb") as stream:
        shape, _ = _read_header(stream)
    return shape[0] if shape else 0


def _open_zip(path: str | os.PathLike) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise LampError(f"cannot read {path} ({_reason(error)}); expected an .npz file") from error


def _header(path: str | os.PathLike, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[int, ...] | None:
    """The shape of a member; None for what is no array of numbers or text."""
    if not member.filename.endswith(".npy"):
        return None
    try:
        with archive.open(member) as stream:
            shape, dtype = _read_header(stream)
    except Exception as error:  # zipfile raises many kinds for damaged members
        raise LampError(
            f"cannot read {member.filename[:60]!r} in {path} ({_reason(error)}); the file is damaged"
        ) from error
    if dtype.hasobject:
        return None
    _check(path, member.filename.removesuffix(".npy"), (shape, dtype), member.file_size)
    return shape


def _read_header(stream) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _check(path: str | os.PathLike, name: str, header: tuple[tuple[int, ...], np.dtype], size: int) -> None:
    shape, dtype = header
    if dtype.hasobject:
        raise LampError(f"{path}: the array {name!r} holds Python objects, which are never read; save numbers")
    needed = math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or needed > MAX_BYTES:
        raise LampError(f"{path}: the array {name!r} has shape {shape}, more than {MAX_BYTES >> 20} MiB")
    if needed > size:
        raise LampError(f"{path}: the array {name!r} announces {needed} bytes and holds {size}; the file is cut short")


def _load(path: str | os.PathLike, name: str, stream) -> np.ndarray:
    try:
        return npy.read_array(stream, allow_pickle=False)
    except Exception as error:  # zlib, zipfile and NumPy each have their own
        raise LampError(
            f"cannot read {name!r} in {path} ({_reason(error)}); the file is damaged or cut short"
        ) from error


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).split("\n")[0][:120]


def _as_joints(path: str | os.PathLike, array: np.ndarray) -> np.ndarray:
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise LampError(f"{path} holds values of type {array.dtype}, expected numbers")
    if array.ndim == 2 and array.shape[1] == HUMANML3D.feature_dim and len(array):
        return features_to_joints(array.astype(np.float32), HUMANML3D)
    if array.ndim != 3 or array.shape[1:] not in ((22, 3), (24, 3), (52, 3)) or not len(array):
        raise LampError(
            f"{path} holds an array of shape {array.shape}, expected joints (frames, 22, 3) or features (frames, 263)"
        )
    # SMPL's 24 and SMPL-H's 52 joints begin with these 22.
    joints = array[:, : HUMANML3D.num_joints].astype(np.float32)
    return joints * np.float32(MILLIMETRES if np.issubdtype(array.dtype, np.integer) else 1)
