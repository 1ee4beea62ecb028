"""Captured clips with their texts, from the layouts that are found on disk."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.features import joints_to_features, mirror_joints
from ..motion.skeleton import HUMANML3D, KIT, Skeleton

_SWAPS = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}


@dataclass(frozen=True)
class Caption:
    """One text; tagged: its words with their parts of speech (`walks/VERB`), where the data set has them."""

    text: str
    tagged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """features (T, F) float32, not normalised; at least one text. tagged: as in `Caption`, for every text or none."""

    id: str
    features: np.ndarray
    texts: tuple[str, ...]
    tagged: tuple[tuple[str, ...], ...] = ()

    @property
    def captions(self) -> tuple[Caption, ...]:
        return tuple(Caption(*pair) for pair in zip(self.texts, self.tagged or [()] * len(self.texts), strict=True))


@dataclass(frozen=True)
class MotionDataset:
    """The clips of one split and the skeleton they move."""

    clips: list[Clip]
    skeleton: Skeleton
    statistics: tuple[np.ndarray, np.ndarray] | None = None
    """Mean and standard deviation (F,) that the data set ships, where it does."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def texts(self) -> list[str]:
        """Every distinct text, in a fixed order."""
        return sorted({text for clip in self.clips for text in clip.texts})


def open_dataset(folder: str | Path, split: str, *, mirror: bool = False) -> MotionDataset:
    """The clips of a split, from either layout.

    Joints: (T, 22, 3), whole numbers in millimetres or floats in metres, in `*.npz` or as `joints/<id>.npy`, with
    `clips.jsonl` and `splits.json` (and, where they are shipped, `Mean.npy` and `Std.npy`). HumanML3D and KIT-ML:
    `new_joint_vecs`, `texts`, `<split>.txt`, `Mean.npy`, `Std.npy`. With `mirror` every clip of the first layout comes
    a second time with left and right exchanged in motion and text (the second layout holds its mirrored clips already).
    Raises `LampError` when the folder holds neither, has no such split, or is damaged.
    """
    folder = Path(folder)
    with _explained(folder):
        if (folder / "splits.json").is_file():
            return _open_joints(folder, split, mirror)
        if (folder / "new_joint_vecs").is_dir():
            return _open_features(folder, split)
    raise _no_dataset(folder)


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Whatever fails while a part of a data set is read is the fault of that part, and is said so."""
    try:
        yield
    except LampError:
        raise
    except (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise LampError(f"{place} is damaged or incomplete ({reason}); get the data set again") from error


def _no_dataset(folder: Path) -> LampError:
    return LampError(
        f"{folder} holds no data set: expected splits.json (joints) or new_joint_vecs/ (HumanML3D, KIT-ML)"
    )


def split_names(folder: str | Path) -> list[str]:
    """The splits of a data set, in the order of their names. Raises `LampError` as `open_dataset`."""
    folder = Path(folder)
    if (folder / "splits.json").is_file():
        with _explained(folder / "splits.json"):
            return sorted(json.loads((folder / "splits.json").read_text()))
    if (folder / "new_joint_vecs").is_dir():
        return sorted(file.stem for file in folder.glob("*.txt"))
    raise _no_dataset(folder)


def mirror_text(text: str) -> str:
    """The text of the mirrored motion: left becomes right and so on."""
    return re.sub(r"\b\w+\b", lambda m: _match_case(m[0], _SWAPS.get(m[0].lower(), m[0])), text)


def _match_case(old: str, new: str) -> str:
    return new.capitalize() if old[:1].isupper() and new.islower() else new


def _open_joints(folder: Path, split: str, mirror: bool) -> MotionDataset:
    splits = json.loads((folder / "splits.json").read_text())
    if split not in splits:
        raise LampError(f"{folder / 'splits.json'} has no split {split!r}; it has {', '.join(sorted(splits))}")
    wanted = set(splits[split])
    records = [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]
    texts = {r["id"]: (*r["texts"], *r.get("sentences", ())) for r in records if r["id"] in wanted}

    clips = []
    for name, joints in _stored_joints(folder, wanted):
        joints = joints.astype(np.float32) / (1000 if np.issubdtype(joints.dtype, np.integer) else 1)
        clips.append(Clip(name, joints_to_features(joints, HUMANML3D), texts[name]))
        if mirror:
            mirrored = joints_to_features(mirror_joints(joints, HUMANML3D), HUMANML3D)
            clips.append(Clip(f"{name}_mirrored", mirrored, tuple(map(mirror_text, texts[name]))))
    shipped = (folder / "Mean.npy").is_file() and (folder / "Std.npy").is_file()
    return MotionDataset(clips, HUMANML3D, _statistics(folder) if shipped else None)


def _stored_joints(folder: Path, wanted: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    for archive in sorted(folder.glob("*.npz")):
        with np.load(archive, allow_pickle=False) as arrays:
            for name in sorted(wanted & set(arrays.files)):
                yield name, arrays[name]
    for name in sorted(wanted):
        file = folder / "joints" / f"{name}.npy"
        if file.is_file():
            yield name, _array(file)


def _statistics(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    mean, std = (_array(folder / f"{name}.npy").astype(np.float32) for name in ("Mean", "Std"))
    return mean, std


def _array(file: Path) -> np.ndarray:
    with _explained(file):
        return np.load(file, allow_pickle=False)


def _open_features(folder: Path, split: str) -> MotionDataset:
    index = folder / f"{split}.txt"
    if not index.is_file():
        raise LampError(f"{folder} has no split {split!r}: {index.name} is missing")
    mean, std = _statistics(folder)
    skeleton = next((s for s in (HUMANML3D, KIT) if s.feature_dim == len(mean)), None)
    if skeleton is None:
        raise LampError(f"{folder / 'Mean.npy'} has {len(mean)} values; expected 263 (HumanML3D) or 251 (KIT-ML)")

    clips = []
    for name in index.read_text().split():
        motion, captions = folder / "new_joint_vecs" / f"{name}.npy", folder / "texts" / f"{name}.txt"
        # Both public data sets list a few clips that their own scripts fail to build.
        if not (motion.is_file() and captions.is_file()):
            continue
        features = _array(motion).astype(np.float32)
        if features.ndim != 2 or features.shape[1] != len(mean):
            raise LampError(f"{motion} has shape {features.shape}, expected (frames, {len(mean)})")
        if np.isfinite(features).all():
            with _explained(captions):
                clips += _captioned_clips(name, features, captions.read_text(encoding="utf-8"), skeleton)
    return MotionDataset(clips, skeleton, (mean, std))


def _captioned_clips(name: str, features: np.ndarray, captions: str, skeleton: Skeleton) -> list[Clip]:
    """Lines are `caption#tagged words#from#to`; a caption with times (seconds) describes only that part of the clip."""
    shortest, longest = (24 if skeleton is KIT else 40), 200
    spans: dict[tuple[int, int], list[tuple[str, tuple[str, ...]]]] = {}
    for line in filter(None, map(str.strip, captions.splitlines())):
        caption, tagged, start, end = line.split("#")
        begin, stop = (0.0 if value == "nan" else float(value) for value in (start, end))
        # The released loader multiplies by 20 for KIT-ML too, whose clips run at 12.5 fps.
        span = (int(begin * 20), int(stop * 20)) if stop > begin else (0, len(features))
        spans.setdefault(span, []).append((caption, tuple(tagged.split())))
    parts = [
        (f"{name}_{a}_{b}" if (a, b) != (0, len(features)) else name, features[a:b], t) for (a, b), t in spans.items()
    ]
    return [Clip(n, f, *map(tuple, zip(*t))) for n, f, t in parts if shortest <= len(f) < longest]
