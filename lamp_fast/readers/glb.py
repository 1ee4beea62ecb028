"""Animated skeletons in glTF files, ours and those of other programs, as captures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import LampError
from .bvh import frame_rate
from .gltf import AT_REST, GltfFile, at_rest, compose, open_gltf
from .hierarchy import Hierarchy, with_ancestors
from .keyframes import INTERPOLATIONS, sample
from .text import MAX_JOINTS, check_size

BLOCK = 1024
RATES = (10.0, 240.0)  # frames a second between which the distance of keys counts as a frame rate
USUAL_RATE = 30.0
MAX_ANIMATIONS = 10_000


@dataclass(eq=False)
class Track:
    """What moves one property of one node. path: translation, rotation or scale."""

    path: str
    times: np.ndarray
    values: np.ndarray
    interpolation: str


@dataclass(eq=False)
class GlbFile:
    """A skeleton and one animation of a glTF file. Length is in metres, as the format says.

    extras: what the animation tells beside; `export.glb` writes prompt, seed and contacts there.
    """

    file: GltfFile
    name: str
    tracks: dict[int, list[Track]]
    start: float
    num_frames: int
    fps: float
    extras: dict
    unit, up = 1.0, "y"

    @cached_property
    def nodes(self) -> list[int]:
        """The nodes that are points of the skeleton: the joints of all skins and what they hang on, or all nodes."""
        nodes = self.file.nodes
        with self.file.reading("skins"):
            joints = {nodes.place[joint] for skin in self.file.document.get("skins", []) for joint in skin["joints"]}
        kept = with_ancestors(sorted(joints), nodes.parents) if joints else list(range(len(nodes.names)))
        if len(kept) > MAX_JOINTS:
            raise LampError(f"{self.file.path} has more than {MAX_JOINTS} joints, expected a human skeleton")
        return kept

    @cached_property
    def hierarchy(self) -> Hierarchy:
        nodes = self.file.nodes
        new = {old: i for i, old in enumerate(self.nodes)}
        parents = tuple(new.get(nodes.parents[i], -1) for i in self.nodes)
        return Hierarchy(tuple(nodes.names[i] for i in self.nodes), parents, nodes.world[self.nodes, :3, 3])

    def starts_at_rest(self) -> bool:
        return False

    def positions(self, points: Sequence[int]) -> Iterator[np.ndarray]:
        nodes, wanted = self.file.nodes, [self.nodes[point] for point in points]
        needed = with_ancestors(wanted, nodes.parents)
        for first in range(0, self.num_frames, BLOCK):
            times = self.start + np.arange(first, min(first + BLOCK, self.num_frames)) / self.fps
            world: dict[int, np.ndarray] = {}
            for i in needed:
                parent, local = nodes.parents[i], self._local(i, times)
                world[i] = local if parent < 0 else world[parent] @ local
            yield np.stack([world[i][:, :3, 3] for i in wanted], axis=1)

    def _local(self, node: int, times: np.ndarray) -> np.ndarray:
        """(T, 4, 4)"""
        tracks = self.tracks.get(node)
        if not tracks:
            return np.broadcast_to(self.file.nodes.local[node], (len(times), 4, 4))
        parts = at_rest(self.file.document["nodes"][self.file.nodes.numbers[node]])
        for track in tracks:
            parts[track.path] = sample(track.times, track.values, track.interpolation, times, track.path == "rotation")
        return compose(*(np.broadcast_to(part, (len(times), part.shape[1])) for part in parts.values()))


def open_glb(path: str | os.PathLike, clip: str | None = None) -> GlbFile:
    """Read a .glb or .gltf file.

    clip: the name of one of its animations, needed where several of them move a skeleton (see `animation_names`).
    Raises `LampError` for a damaged file, one without an animation of its nodes, and more frames than any capture has.
    """
    file = open_gltf(path)
    names = _names(file)
    moving = [i for i in range(len(names)) if _moves(file, i)] or list(range(len(names)))
    if not names:
        raise LampError(f"{path} holds no animation; give a file that moves, or use it with --retarget")
    if clip is not None and clip not in names:
        raise LampError(f"{path} has no animation {clip[:60]!r}; it has {', '.join(names)[:200]}")
    if clip is None and len(moving) > 1:
        some = ", ".join(names[i] for i in moving[:3])
        raise LampError(f"{path} holds {len(moving)} motions; name one (clip=), for example {some}")
    number = moving[0] if clip is None else names.index(clip)
    with file.reading(f"animation {number}"):
        tracks = _tracks(file, number)
        extras = file.item("animations", number).get("extras")
    every = [track.times for of_node in tracks.values() for track in of_node]
    if not every:
        raise LampError(f"{path} has an animation that moves none of its nodes")
    start, end = float(min(times[0] for times in every)), float(max(times[-1] for times in every))
    fps = _rate(every)
    frames = round(min((end - start) * fps, 1e9)) + 1
    check_size(path, frames, 16 * len(tracks))
    return GlbFile(file, names[number], tracks, start, frames, fps, extras if isinstance(extras, dict) else {})


def animation_names(path: str | os.PathLike) -> list[str]:
    """The animations of a glTF file that move something. Errors as for `open_glb`."""
    file = open_gltf(path)
    names = _names(file)
    return [name for i, name in enumerate(names) if _moves(file, i)] or names


def _names(file: GltfFile) -> list[str]:
    with file.reading("animations"):
        entries = file.document.get("animations", [])
        if len(entries) > MAX_ANIMATIONS:
            raise LampError(f"{file.path} has {len(entries)} animations, at most {MAX_ANIMATIONS} are read")
        names: list[str] = []
        for i, entry in enumerate(entries):
            name = str(entry.get("name") or f"animation {i}")
            names.append(name if name not in names else f"{name} ({i})")
    return names


def _moves(file: GltfFile, number: int) -> bool:
    """Whether an animation turns some node through more than one key; poses and morphs do not."""
    with file.reading(f"animation {number}"):
        entry = file.item("animations", number)
        for channel in entry["channels"]:
            if channel["target"].get("path") == "rotation" and "node" in channel["target"]:
                keys = file.item("accessors", entry["samplers"][channel["sampler"]]["input"])["count"]
                if keys > 1:
                    return True
    return False


def _tracks(file: GltfFile, number: int) -> dict[int, list[Track]]:
    """The tracks of an animation by the node they move, as it is in `file.nodes`."""
    entry, nodes = file.item("animations", number), file.nodes
    tracks: dict[int, list[Track]] = {}
    times_of: dict[int, np.ndarray] = {}
    for channel in entry["channels"]:
        target, sampler = channel["target"], entry["samplers"][channel["sampler"]]
        path = target.get("path")
        if path not in AT_REST or "node" not in target:
            continue
        source = sampler["input"]
        if source not in times_of:
            times_of[source] = _times(file, source)
        times, interpolation = times_of[source], sampler.get("interpolation", "LINEAR")
        values = file.array(sampler["output"]).astype(np.float64)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation {interpolation!r:.40}")
        rows = len(times) * INTERPOLATIONS[interpolation]
        if values.shape != (rows, len(AT_REST[path])) or not np.isfinite(values).all():
            raise ValueError(f"{path} of node {target['node']!r:.20}")
        tracks.setdefault(nodes.place[target["node"]], []).append(Track(path, times, values, interpolation))
    return tracks


def _times(file: GltfFile, accessor: int) -> np.ndarray:
    times = file.array(accessor)[:, 0].astype(np.float64)
    if not len(times) or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError("times that do not ascend")
    return times


def _rate(every: Sequence[np.ndarray]) -> float:
    """Frames a second: as dense as the keys of the densest track, if they are a frame rate apart."""
    step = min((_step(times) for times in every if len(times) > 2), default=0.0)
    rate = frame_rate(step) if step > 1e-6 else 0.0
    return rate if RATES[0] <= rate <= RATES[1] else USUAL_RATE


def _step(times: np.ndarray) -> float:
    """Seconds between two keys: the mean where they are even, which rounded times tell best, else the median."""
    mean, median = (times[-1] - times[0]) / (len(times) - 1), float(np.median(np.diff(times)))
    return mean if abs(mean - median) < 0.01 * mean else median
