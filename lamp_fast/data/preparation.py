"""A folder of motion files becomes a data set that training reads.

    DESTINATION/
      joints/<id>.npy       (T, 22, 3) float32, metres, Y up, 20 fps
      clips.jsonl           id, frames, source, texts, and where the texts are from
      splits.json           train, val, test
      Mean.npy, Std.npy     of the features of the training clips and their mirror images
      report.json           what was skipped, and why

A run that was cut goes on where it was: a clip whose file is as old as its source is finished.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..files import new_file
from ..motion.features import joints_to_features, mirror_joints
from ..motion.skeleton import HUMANML3D
from ..readers import SUFFIXES, read_map, read_motion
from ..readers.arrays import motion_names, npy_frames, npz_shapes
from ..readers.motion import clip_names
from .jobs import run_jobs
from .labels import make_splits, read_splits, read_texts, texts_beside, words_of
from .statistics import FeatureSums, sum_features

CHUNK = 16
"""Files that one job of the statistics takes."""


@dataclass(frozen=True)
class Reading:
    """How files are read: as the arguments of `readers.read_motion`."""

    body: str | None = None
    body_model: str | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Job:
    """One motion: the file it is in, which clip of that file, and the id and file it gets."""

    id: str
    source: str
    clip: str | None
    destination: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job: frames, or the reason why there are none."""

    job: Job
    frames: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """How many clips are ready, how many of them an earlier run left, (source, reason) of those that are not.

    words: how many clips have their texts from where.
    """

    clips: int
    kept: int
    seconds: float
    skipped: list[tuple[str, str]]
    words: dict[str, int]


def prepare(
    source: str | os.PathLike,
    destination: str | os.PathLike,
    reading: Reading | None = None,
    *,
    texts: str | os.PathLike | None = None,
    splits: str | os.PathLike | None = None,
    workers: int | None = None,
) -> Report:
    """Convert every motion file below `source`, in parallel, and write what `data.open_dataset` reads.

    Args:
        texts: a table of texts (see `labels.read_texts`); None: `source/clips.jsonl`, the .txt file beside each motion,
            the words of its name.
        splits: a JSON file of splits; None: `source/splits.json`, else 85, 5 and 10 % by a hash of the ids.
        workers: processes; None for one a core.

    Raises:
        LampError: nothing can be read, or the tables do not fit. A bad motion file is skipped and reported.
    """
    source, destination, reading = Path(source), Path(destination), reading or Reading()
    if not source.is_dir():
        raise LampError(f"{source} is no folder; give the folder of the motion files")
    if destination.resolve() == source.resolve():
        raise LampError(f"{source} is read and cannot be written to as well; give another destination")
    table = read_texts(given) if (given := _given(texts, source / "clips.jsonl")) else {}
    if reading.body is not None:
        read_map(reading.body)
    _check_settings(destination, reading)

    jobs, skipped = _jobs(source, destination)
    done = {job.id: frames for job in jobs if (frames := _finished(job))}
    todo = [job for job in jobs if job.id not in done]
    frames = dict(done)
    for outcome in run_jobs(partial(convert, reading=reading), todo, workers, "reading"):
        if outcome.reason:
            skipped.append((outcome.job.source, outcome.reason))
        else:
            frames[outcome.job.id] = outcome.frames
    if not frames:
        reason = f", for example {skipped[0][0]}: {skipped[0][1]}" if skipped else f"; known are {', '.join(SUFFIXES)}"
        raise LampError(f"{source} holds no motion that can be read{reason}")

    ready = sorted((job for job in jobs if job.id in frames), key=lambda job: job.id)
    records = [_record(job, frames[job.id], source, table) for job in ready]
    ids = [job.id for job in ready]
    given = _given(splits, source / "splits.json")
    parts = read_splits(given, ids) if given else make_splits(ids)
    training = set(parts["train"])
    sums = add_up(_sum_clips, [job.destination for job in ready if job.id in training], workers)

    seconds = sum(frames.values()) / HUMANML3D.fps
    words = dict(Counter(record["words"] for record in records))
    report = Report(len(records), len(done), seconds, sorted(skipped), words)
    write_statistics(destination, sums)
    write_text(destination / "clips.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
    write_text(destination / "report.json", json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n")
    # Last, because this file makes the folder a data set.
    write_text(destination / "splits.json", json.dumps(parts, indent=0, ensure_ascii=False) + "\n")
    return report


def convert(job: Job, reading: Reading) -> Outcome:
    """Read one motion and write its joints, with the time stamp of the source. What goes wrong is told, not raised."""
    try:
        stamp = os.stat(job.source).st_mtime_ns
        motion = read_motion(job.source, clip=job.clip, **asdict(reading))
        joints_to_features(motion.joints, HUMANML3D)  # refuses what training could not read
        write_array(Path(job.destination), motion.joints)
        os.utime(job.destination, ns=(stamp, stamp))
    except LampError as error:
        return Outcome(job, reason=str(error))
    except Exception as error:  # one bad file must not end a run over thousands
        return Outcome(job, reason=f"{type(error).__name__}: {error}")
    return Outcome(job, len(motion.joints))


def _jobs(source: Path, destination: Path) -> tuple[list[Job], list[tuple[str, str]]]:
    """A job for every motion below a folder, and the files that hold none."""
    jobs: dict[str, Job] = {}
    skipped = []
    for path in _files(source, destination):
        try:
            clips = _clips(path)
        except LampError as error:
            skipped.append((str(path), str(error)))
            continue
        place = path.relative_to(source)
        for clip in clips:
            name = place.with_suffix("") if clip is None else place.parent / re.sub(r"[^\w.-]|^\.+", "_", clip)
            job = Job(name.as_posix(), str(path), clip, str(destination / "joints" / name.parent / f"{name.name}.npy"))
            if job.id in jobs:
                skipped.append((str(path), f"its motion would be called {job.id!r}, as that of {jobs[job.id].source}"))
            else:
                jobs[job.id] = job
    return list(jobs.values()), skipped


def _files(source: Path, destination: Path) -> Iterator[Path]:
    own = destination.resolve()
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and Path(folder, f).resolve() != own)
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(folder, name)


def _clips(path: Path) -> Sequence[str | None]:
    """The clips of a file: one without a name, or those of an archive, or of a character with several animations."""
    if path.suffix.lower() != ".npz":
        return clip_names(path)
    shapes = npz_shapes(path)
    if "joints" in shapes or {"poses", "trans"} <= shapes.keys():
        return (None,)
    return motion_names(path)


def _finished(job: Job) -> int:
    """The frames of a clip that an earlier run converted from the same source; 0 where there is none."""
    try:
        if os.stat(job.destination).st_mtime_ns == os.stat(job.source).st_mtime_ns:
            return npy_frames(job.destination)
    except (OSError, ValueError):
        pass
    return 0


def _check_settings(destination: Path, reading: Reading) -> None:
    """Two runs into one folder must read alike."""
    file = destination / "reading.json"
    settings = asdict(reading)
    if reading.body is not None:
        settings["body"] = Path(reading.body).read_text(encoding="utf-8-sig")
    text = json.dumps(settings, sort_keys=True) + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise LampError(
            f"{destination} was begun with other settings (mapping, body model or fps); give another folder"
        )
    write_text(file, text)


def _given(path: str | os.PathLike | None, usual: Path) -> Path | None:
    return Path(path) if path is not None else usual if usual.is_file() else None


def _record(job: Job, frames: int, source: Path, table: dict[str, list[str]]) -> dict:
    said, words = table.get(job.id) or table.get(job.id.rpartition("/")[2]), "table"
    if not said:
        said, words = texts_beside(Path(job.source)) if job.clip is None else [], "file beside"
    if not said:
        said, words = [words_of(job.id)], "name"
    file = Path(job.source).relative_to(source).as_posix()
    return {"id": job.id, "frames": frames, "source": file, "texts": said, "words": words}


def add_up(
    function: Callable[[Sequence[str]], tuple[str, FeatureSums]], files: Sequence[str], workers: int | None
) -> FeatureSums:
    """function: some files -> the first of them and their sums, which are added in that order, the same in each run."""
    chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    sums = sorted(run_jobs(function, chunks, workers, "statistics"), key=lambda pair: pair[0])
    first, *others = (pair[1] for pair in sums)
    return sum(others, start=first)


def write_statistics(destination: Path, sums: FeatureSums) -> None:
    """Mean.npy and Std.npy, each (F,) float32."""
    for name, array in zip(("Mean", "Std"), sums.statistics(HUMANML3D)):
        write_array(destination / f"{name}.npy", array.astype(np.float32))


def _sum_clips(files: Sequence[str]) -> tuple[str, FeatureSums]:
    motions = (np.load(file, allow_pickle=False) for file in files)
    both = (way for joints in motions for way in (joints, mirror_joints(joints, HUMANML3D)))
    return files[0], sum_features(joints_to_features(joints, HUMANML3D) for joints in both)


def write_array(path: Path, array: np.ndarray) -> None:
    with new_file(path) as file, open(file, "wb") as stream:
        np.save(stream, array, allow_pickle=False)


def write_text(path: Path, text: str) -> None:
    with new_file(path) as file:
        file.write_text(text, encoding="utf-8")
