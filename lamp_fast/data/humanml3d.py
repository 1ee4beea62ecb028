"""HumanML3D, for those who hold AMASS: its `index.csv` says which part of which capture each motion is.

As released (`raw_pose_processing.ipynb`, `motion_representation.ipynb`, `cal_mean_variance.ipynb`): every n-th frame of
a capture, Y up, some data sets without their first seconds, every motion a second time mirrored under the name M...
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.features import features_to_joints, joints_to_features, mirror_joints
from ..motion.skeleton import HUMANML3D
from ..readers.arrays import npy_frames, read_npy
from ..readers.smpl import read_amass
from .jobs import run_jobs
from .preparation import Report, add_up, write_array, write_statistics, write_text
from .statistics import FeatureSums, sum_features

TRIMMED = {
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
"""Seconds at the start of these captures that the index does not count."""
WHOLE = "humanact12"
"""Motions of this source come as joints already, and whole."""
LISTS = ("train.txt", "val.txt", "test.txt")
COLUMNS = ("source_path", "start_frame", "end_frame", "new_name")
FOLDERS = ("new_joint_vecs", "new_joints")


@dataclass(frozen=True)
class Cut:
    """A motion's name and its frames `start:end` at 20 fps."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Capture:
    """One source file and what is cut from it."""

    source: str
    cuts: tuple[Cut, ...]


def build_humanml3d(
    amass: str | os.PathLike,
    index: str | os.PathLike,
    destination: str | os.PathLike,
    body_model: str | os.PathLike,
    workers: int | None = None,
) -> Report:
    """Write HumanML3D's folder: `new_joint_vecs`, `new_joints`, `texts`, lists of the splits, `Mean.npy`, `Std.npy`.

    Args:
        amass: the folder with the captures under the names that the index has after `pose_data/`.
        index: `index.csv` of HumanML3D; its texts (unpacked) and lists lie beside it or in `HumanML3D/` beside it.
        body_model: the folder of SMPL-H, `male/model.npz` and `female/model.npz`.

    Raises:
        LampError: an index or texts that cannot be read, or no capture at all. One that is missing or damaged is
            skipped and reported; the same call takes up what is left to do.
    """
    amass, index, destination = Path(amass), Path(index), Path(destination)
    labels = _labels(index)
    captures = _captures(amass, index)
    todo = [capture for capture in captures if not _is_finished(capture, destination)]
    kept = sum(len(capture.cuts) for capture in captures) - sum(len(capture.cuts) for capture in todo)
    work = partial(convert, destination=str(destination), body_model=str(body_model))
    skipped = [pair for pairs in run_jobs(work, todo, workers, "captures") for pair in pairs]
    ready = [
        cut.name for capture in captures for cut in capture.cuts if _file(destination, FOLDERS[0], cut.name).is_file()
    ]
    if not ready:
        raise LampError(f"{amass} gives none of the motions of {index}, for example {skipped[0][0]}: {skipped[0][1]}")

    names = sorted(prefix + name for name in ready for prefix in ("", "M"))
    sums = add_up(_sum_files, [str(_file(destination, FOLDERS[0], name)) for name in names], workers)
    frames = sum(npy_frames(_file(destination, FOLDERS[0], name)) for name in ready)
    report = Report(len(ready), kept, frames / HUMANML3D.fps, sorted(skipped), {"table": len(ready)})
    shutil.copytree(labels / "texts", destination / "texts", dirs_exist_ok=True)
    write_statistics(destination, sums)
    write_text(destination / "report.json", json.dumps(asdict(report), indent=1) + "\n")
    for name in LISTS:
        write_text(destination / name, (labels / name).read_text(encoding="utf-8"))
    return report


def convert(capture: Capture, destination: str, body_model: str) -> list[tuple[str, str]]:
    """Write every motion of a capture; returns (what, reason) of those that cannot be made."""
    try:
        stamp = os.stat(capture.source).st_mtime_ns
        joints = capture_joints(capture.source, body_model)
    except Exception as error:  # one bad file must not end a run over thousands
        return [(capture.source, str(error) if isinstance(error, LampError) else f"{type(error).__name__}: {error}")]
    skipped = []
    for cut in capture.cuts:
        part = joints if WHOLE in capture.source else joints[cut.start : cut.end]
        try:
            for prefix, motion in (("", part), ("M", mirror_joints(part, HUMANML3D))):
                features = joints_to_features(motion, HUMANML3D)
                for folder, array in zip(FOLDERS, (features, features_to_joints(features, HUMANML3D))):
                    file = _file(Path(destination), folder, prefix + cut.name)
                    write_array(file, array)
                    os.utime(file, ns=(stamp, stamp))
        except LampError as error:
            skipped.append((f"{capture.source} {cut.name}", str(error)))
    return skipped


def capture_joints(source: str, body_model: str) -> np.ndarray:
    """Joints (T, 22, 3) of a whole capture, counted as the index counts: every n-th frame, n = fps // 20."""
    if WHOLE in source:
        return read_npy(source)[:, : HUMANML3D.num_joints].astype(np.float32)
    joints, fps = read_amass(source, body_model, neutral="female")
    step = int(fps / HUMANML3D.fps)
    if step < 1:
        raise LampError(f"{source} has {fps:g} frames a second, expected at least 20")
    skip = next((seconds for name, seconds in TRIMMED.items() if name in source), 0.0)
    return joints[::step][int(skip * HUMANML3D.fps) :]


def _labels(index: Path) -> Path:
    """The folder with texts/ and the lists."""
    folders = (index.parent / "HumanML3D", index.parent)
    for folder in folders:
        if (folder / "texts").is_dir() and all((folder / name).is_file() for name in LISTS):
            return folder
    raise LampError(
        f"neither {folders[0]} nor {folders[1]} holds texts/, {', '.join(LISTS)}; unpack texts.zip of HumanML3D there"
    )


def _captures(amass: Path, index: Path) -> list[Capture]:
    cuts: dict[str, list[Cut]] = {}
    try:
        with open(index, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                path, start, end, name = (row[column] for column in COLUMNS)
                place = path.rpartition("pose_data/")[2]
                stem = Path(name).stem
                if ".." in Path(place).parts or Path(place).is_absolute() or not stem:
                    raise LampError(f"{index} names {path!r} and {name!r}, expected a place below pose_data and a file")
                cuts.setdefault(place, []).append(Cut(stem, int(start), int(end)))
    except OSError as error:
        raise LampError(f"cannot read {index} ({error.strerror}); give index.csv of HumanML3D") from error
    except LampError:
        raise
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise LampError(
            f"{index} is no index of HumanML3D ({error}); expected the columns {', '.join(COLUMNS)}"
        ) from error
    if not cuts:
        raise LampError(f"{index} lists no motions; expected the columns {', '.join(COLUMNS)}")
    sources = {place: amass / place for place in cuts}
    return [
        Capture(str(path if WHOLE in place else path.with_suffix(".npz")), tuple(cuts[place]))
        for place, path in sources.items()
    ]


def _file(destination: Path, folder: str, name: str) -> Path:
    return destination / folder / f"{name}.npy"


def _is_finished(capture: Capture, destination: Path) -> bool:
    """Whether an earlier run made every motion of a capture from the same file."""
    files = [_file(destination, f, p + cut.name) for cut in capture.cuts for f in FOLDERS for p in ("", "M")]
    try:
        stamp = os.stat(capture.source).st_mtime_ns
        return all(os.stat(file).st_mtime_ns == stamp for file in files)
    except OSError:
        return False


def _sum_files(files: Sequence[str]) -> tuple[str, FeatureSums]:
    return files[0], sum_features(np.load(file, allow_pickle=False) for file in files)
