"""What a folder holds: motion files, or a data set. A source is looked at again, as a whole, when it changed."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import open_dataset, split_names
from ..errors import LampError
from ..motion.features import joints_to_features
from ..motion.skeleton import HUMANML3D, Skeleton
from ..readers import read_motion
from ..readers.motion import SUFFIXES, clip_names


@dataclass(frozen=True)
class SourceClip:
    """name: empty where the source holds one motion only. features (T, F) float32, not normalised."""

    name: str
    features: np.ndarray
    texts: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return hashlib.blake2b(np.ascontiguousarray(self.features), digest_size=16).hexdigest()


class Source(ABC):
    """key: its name in the index. stamp: another one when anything in it may have changed; cheap."""

    key: str
    stamp: str

    @abstractmethod
    def clips(self, skeleton: Skeleton) -> Iterator[SourceClip]:
        """Every motion, one after the other. Raises `LampError` for what cannot be read or is of another skeleton."""


class MotionFile(Source):
    """One file that `readers` reads."""

    def __init__(self, path: Path, key: str):
        self.path, self.key = path, key
        # The skeleton of an .amc file lies beside it.
        files = [path, *(sorted(path.parent.glob("*.asf")) if path.suffix.lower() == ".amc" else ())]
        self.stamp = _stamp(files)

    def clips(self, skeleton: Skeleton) -> Iterator[SourceClip]:
        if skeleton is not HUMANML3D:
            raise LampError(
                f"{self.path} becomes 22 joints, but the model moves those of {skeleton.name}; give a data set"
            )
        for name in clip_names(self.path):
            motion = read_motion(self.path, clip=name)
            yield SourceClip(name or "", joints_to_features(motion.joints, motion.skeleton))


class DataSet(Source):
    """Some splits of a data set, as `lamp_fast.data` opens it; a clip in two of them counts once."""

    key = ""

    def __init__(self, folder: Path, split: str | None, files: list[Path]):
        self.folder = folder
        self.splits = split_names(folder)
        if split and split not in self.splits:
            raise LampError(f"{folder} has no split {split!r}; it has {', '.join(self.splits)}")
        self.splits = [split] if split else self.splits
        self.stamp = " ".join([*self.splits, _stamp(files)])

    def clips(self, skeleton: Skeleton) -> Iterator[SourceClip]:
        seen = set()
        for split in self.splits:
            dataset = open_dataset(self.folder, split)
            if dataset.skeleton is not skeleton:
                raise LampError(
                    f"{self.folder} holds motions of {dataset.skeleton.name}, but the model knows {skeleton.name}; "
                    "give a model of that data set"
                )
            for clip in dataset.clips:
                if clip.id not in seen:
                    seen.add(clip.id)
                    yield SourceClip(clip.id, clip.features, clip.texts)


def find_sources(folder: str | os.PathLike, split: str | None = None, skip: Path | None = None) -> list[Source]:
    """Everything in a folder that can hold motions, in a fixed order; `skip` is a folder that is not entered.

    Hidden files and folders are left out. split: of a data set; None: all of them. Raises `LampError` for no folder,
    a split that is not there, or one of a folder that is no data set.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise LampError(f"{folder} is no folder; give one that holds motion files, or a data set")
    files = list(_files(folder, skip.resolve() if skip else None))
    if os.path.isfile(folder / "splits.json") or os.path.isdir(folder / "new_joint_vecs"):
        return [DataSet(folder, split, files)]
    if split:
        raise LampError(f"{folder} is no data set and has no split {split!r}; leave the split out")
    motions = (path for path in files if path.suffix.lower() in SUFFIXES)
    return [MotionFile(path, printable(path.relative_to(folder))) for path in motions]


def printable(path: Path) -> str:
    """A path as text that a data base and a line of a table take: control characters, and bytes that are no UTF-8, are
    written as \\xff."""
    text = os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda control: f"\\x{ord(control[0]):02x}", text)


def _files(folder: Path, skip: Path | None) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and Path(parent, name).resolve() != skip)
        yield from (path for name in sorted(names) if name[0] != "." and os.path.isfile(path := Path(parent, name)))


def _stamp(files: list[Path]) -> str:
    told = "".join(f"{path.name}\0{_size_and_time(path)}\n" for path in files)
    return hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _size_and_time(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:  # it left since the folder was listed; reading it will say so
        return "gone"
    return f"{stat.st_size}\0{stat.st_mtime_ns}"
