"""Acclaim: a skeleton file (.asf) and, for each take, a motion file (.amc). CMU's captures came this way."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import LampError
from .hierarchy import Hierarchy, about_axis, with_ancestors
from .text import MAX_JOINTS, check_size, numbers, open_lines

BLOCK = 1024
AMC_FPS = 120.0
"""AMC files do not tell their frame rate; CMU's is this."""
INCH = 0.0254
ROOT = "root"


@dataclass
class Bone:
    """One bone: from the end of its parent `vector` further, turned in axes of its own."""

    name: str
    vector: np.ndarray = field(default_factory=lambda: np.zeros(3))
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    freedoms: tuple[str, ...] = ()


@dataclass
class AcclaimFile:
    """A take and its skeleton. A point is the end of the bone of that name; the root is one too."""

    path: str | os.PathLike
    bones: list[Bone]
    parents: tuple[int, ...]
    degrees: float
    """How many degrees the skeleton's unit of angle has."""
    fps: float
    unit: float | None
    """Metres in the skeleton's unit of length: the format says how many units an inch has."""
    up = None

    @cached_property
    def hierarchy(self) -> Hierarchy:
        rest = np.zeros((len(self.bones), 3))
        for i, parent in enumerate(self.parents):
            rest[i] = self.bones[i].vector + (rest[parent] if parent >= 0 else 0)
        return Hierarchy(tuple(bone.name for bone in self.bones), self.parents, rest)

    def starts_at_rest(self) -> bool:
        return False

    def values(self) -> Iterator[np.ndarray]:
        """Blocks (T, freedoms of all bones) float64, as in the file. Raises `LampError` for frames that do not fit."""
        moving = [i for i, bone in enumerate(self.bones) if bone.freedoms]
        names = self.hierarchy.index
        read, block = 0, []
        for number, rows in self._frames():
            where = f"{self.path}, frame {number},"
            unknown = next((name for name in rows if name not in names), None)
            if unknown is not None:
                raise LampError(f"{where} names the bone {unknown[:40]!r}, which the skeleton lacks; give its own .asf")
            row = []
            for i in moving:
                bone = self.bones[i]
                if bone.name not in rows:
                    raise LampError(f"{where} lacks {bone.name!r}; the file is damaged or the .asf another's")
                row += numbers(rows[bone.name], f"{where} {bone.name}", len(bone.freedoms))
            block.append(row)
            read += 1
            check_size(self.path, read, len(row))
            if len(block) == BLOCK:
                yield np.array(block)
                block = []
        check_size(self.path, read, 1)
        if block:
            yield np.array(block)

    def _frames(self) -> Iterator[tuple[int, dict[str, list[str]]]]:
        number, rows = 0, None
        with open_lines(self.path) as lines:
            for line in lines:
                if line[0] in "#:":
                    continue
                words = line.split()
                if len(words) == 1 and words[0].isdecimal():
                    if rows is not None:
                        yield number, rows
                    number, rows = number + 1, {}
                elif rows is None:
                    raise LampError(f"{self.path} has {line[:60]!r} before its first frame; expected an AMC file")
                elif words[0] in rows:
                    raise LampError(f"{self.path}, frame {number}, has the bone {words[0][:40]!r} twice")
                else:
                    rows[words[0]] = words[1:]
        if rows is not None:
            yield number, rows

    def positions(self, points: Sequence[int]) -> Iterator[np.ndarray]:
        needed = with_ancestors(points, self.hierarchy.parents)
        starts = np.cumsum([0, *(len(bone.freedoms) for bone in self.bones)])
        unit = self._angle_unit()
        for values in self.values():
            places: dict[int, np.ndarray] = {}
            turns: dict[int, np.ndarray] = {}
            for point in needed:
                bone, parent = self.bones[point], self.parents[point]
                turn, shift = np.eye(3), np.zeros((len(values), 3))
                for freedom, column in zip(bone.freedoms, values[:, starts[point] : starts[point + 1]].T):
                    if freedom[0] == "r":
                        turn = about_axis("xyz".index(freedom[1]), column * unit) @ turn
                    elif freedom[0] == "t":
                        shift[:, "xyz".index(freedom[1])] = column
                turn = bone.axes @ turn @ bone.axes.T
                if parent >= 0:
                    turn = turns[parent] @ turn
                step = shift + bone.vector
                places[point] = step if parent < 0 else places[parent] + (turn @ step[..., None])[..., 0]
                turns[point] = np.broadcast_to(turn, (len(values), 3, 3))
            yield np.stack([places[point] for point in points], axis=1)

    def _angle_unit(self) -> float:
        header = _header(self.path)
        return 1.0 if ":DEGREES" in header else float(np.degrees(1)) if ":RADIANS" in header else self.degrees


def open_amc(path: str | os.PathLike, skeleton: str | os.PathLike | None = None) -> AcclaimFile:
    """Open a take with its skeleton: `skeleton`, else `find_asf(path)`.

    Raises `LampError` for a damaged skeleton: a hierarchy with a loop, bones without data, unknown freedoms.
    """
    skeleton = skeleton or find_asf(path)
    if skeleton is None:
        raise LampError(f"{path} needs its skeleton: put the subject's .asf file beside it, or name it (skeleton=)")
    bones, parents, degrees, unit = _read_asf(skeleton)
    return AcclaimFile(path, bones, parents, degrees, _rate(path), unit)


def _header(path: str | os.PathLike) -> list[str]:
    """The lines before the first frame of a take, in capitals."""
    with open_lines(path) as lines:
        return [line.upper() for line in itertools.takewhile(lambda line: line[0] in "#:", lines)]


def _rate(path: str | os.PathLike) -> float:
    """Frames a second that a take tells, else CMU's."""
    for line in _header(path):
        if line.startswith(":SAMPLES-PER-SECOND"):
            (rate,) = numbers(line.split()[1:], f"{path}, SAMPLES-PER-SECOND,", 1)
            if not 1 <= rate <= 10_000:
                raise LampError(f"{path} has {rate:g} samples a second, expected between 1 and 10000")
            return rate
    return AMC_FPS


def find_asf(path: str | os.PathLike) -> Path | None:
    """The skeleton beside a take: of the same name, of its subject (05.asf for 05_10), or the only one there."""
    path = Path(path)
    names = [path.stem]
    while "_" in names[-1]:
        names.append(names[-1].rpartition("_")[0])
    try:
        beside = sorted(file for file in path.absolute().parent.iterdir() if file.suffix.lower() == ".asf")
    except OSError:
        return None
    for name in names:
        for file in beside:
            if file.stem.lower() == name.lower():
                return file
    return beside[0] if len(beside) == 1 and path.suffix.lower() == ".amc" else None


def asf_hierarchy(path: str | os.PathLike) -> Hierarchy:
    """The rest pose of a skeleton file, in its own unit. Raises `LampError` as `open_amc`."""
    return AcclaimFile(path, *_read_asf(path)[:2], 1.0, AMC_FPS, None).hierarchy


def _read_asf(path: str | os.PathLike) -> tuple[list[Bone], tuple[int, ...], float, float | None]:
    """Bones with parents first, parents, degrees in a unit of angle, metres in a unit of length."""
    sections = _sections(path)
    units = {line.split()[0].lower(): line.split()[-1].lower() for line in sections.get("units", ())}
    degrees = float(np.degrees(1)) if units.get("angle", "deg").startswith("rad") else 1.0
    (inch,) = numbers([units.get("length", "0")], f"{path}, unit of length,", 1)
    bones = {ROOT: _root(path, sections.get("root", ()), degrees)}
    for lines in _groups(sections.get("bonedata", ())):
        bone = _bone(path, lines, degrees)
        if bone.name in bones:
            raise LampError(f"{path} describes the bone {bone.name[:40]!r} twice; the skeleton is damaged")
        bones[bone.name] = bone
        if len(bones) > MAX_JOINTS:
            raise LampError(f"{path} has more than {MAX_JOINTS} bones, expected a human skeleton")
    if len(bones) == 1:
        raise LampError(f"{path} describes no bones (:bonedata); expected an Acclaim skeleton file")

    parent_of: dict[str, str] = {}
    for lines in _groups(sections.get("hierarchy", ())):
        for words in map(str.split, lines):
            for child in words[1:]:
                if child in parent_of or child == ROOT:
                    raise LampError(f"{path} hangs the bone {child[:40]!r} in two places; its hierarchy is no tree")
                parent_of[child] = words[0]
    unknown = next((name for pair in parent_of.items() for name in pair if name not in bones), None)
    if unknown is not None:
        raise LampError(f"{path} has {unknown[:40]!r} in its hierarchy and not among its bones; the file is damaged")

    order, children = [ROOT], {}
    for child, parent in parent_of.items():
        children.setdefault(parent, []).append(child)
    for name in order:  # grows while it is read
        order += children.get(name, ())
    lost = next((name for name in bones if name not in order), None)
    if lost is not None:
        raise LampError(f"{path} has {lost[:40]!r} that does not hang on the root; its hierarchy has a loop")
    place = {name: i for i, name in enumerate(order)}
    parents = tuple(place.get(parent_of.get(name, ""), -1) for name in order)
    return [bones[name] for name in order], parents, degrees, INCH / inch if inch > 0 else None


def _sections(path: str | os.PathLike) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    with open_lines(path) as lines:
        for count, line in enumerate(lines):
            if count > 100 * MAX_JOINTS:
                raise LampError(f"{path} is longer than any Acclaim skeleton")
            if line.startswith(":"):
                current = sections.setdefault(line[1:].split()[0].lower() if line[1:].split() else "", [])
            elif not line.startswith("#"):
                current.append(line)
    return sections


def _groups(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines between each `begin` and its `end`."""
    group: list[str] = []
    for line in lines:
        if line.lower() == "begin":
            group = []
        elif line.lower() == "end":
            yield group
        else:
            group.append(line)


def _root(path: str | os.PathLike, lines: Sequence[str], degrees: float) -> Bone:
    words = {line.split()[0].lower(): line.split()[1:] for line in lines}
    freedoms = tuple(w.lower() for w in words.get("order", ()))
    if not freedoms:
        raise LampError(f"{path} gives no order of channels for its root (:root, order); the file is damaged")
    orientation = numbers(words.get("orientation") or ["0"] * 3, f"{path}, orientation of the root,", 3)
    position = numbers(words.get("position") or ["0"] * 3, f"{path}, position of the root,", 3)
    axes = _axes(path, orientation, (words.get("axis") or ["xyz"])[0], degrees)
    return Bone(ROOT, np.array(position), axes, _checked(path, ROOT, freedoms))


def _bone(path: str | os.PathLike, lines: Sequence[str], degrees: float) -> Bone:
    words = {line.split()[0].lower(): line.split()[1:] for line in reversed(lines)}
    if not {"name", "direction", "length"} <= words.keys() or not words["name"]:
        raise LampError(f"{path} has a bone without name, direction or length; the file is damaged")
    name = words["name"][0]
    direction = np.array(numbers(words["direction"], f"{path}, direction of {name[:40]},", 3))
    (length,) = numbers(words["length"], f"{path}, length of {name[:40]},", 1)
    *angles, order = words.get("axis") or ["0", "0", "0", "XYZ"]
    axes = _axes(path, numbers(angles, f"{path}, axis of {name[:40]},", 3), order, degrees)
    freedoms = tuple(w.lower() for w in words.get("dof", ()))
    return Bone(name, direction * length, axes, _checked(path, name, freedoms))


def _axes(path: str | os.PathLike, angles: Sequence[float], order: str, degrees: float) -> np.ndarray:
    """The rotation that turns about the axes in the order of the letters."""
    if sorted(order.lower()) != ["x", "y", "z"]:
        raise LampError(f"{path} gives the axes {order[:20]!r}, expected an order of X, Y and Z")
    turn = np.eye(3)
    for letter, angle in zip(order.lower(), angles):
        turn = about_axis("xyz".index(letter), np.array(angle * degrees)) @ turn
    return turn


def _checked(path: str | os.PathLike, name: str, freedoms: tuple[str, ...]) -> tuple[str, ...]:
    known = {"tx", "ty", "tz", "rx", "ry", "rz", "l"}
    if not known >= set(freedoms) or len(set(freedoms)) < len(freedoms):
        raise LampError(f"{path} moves {name[:40]!r} by {' '.join(freedoms)[:40]}, expected rx, ry, rz, each once")
    return freedoms
