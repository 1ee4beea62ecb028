"""A character to be moved: the skeleton of a BVH or GLB file, in its rest pose."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.rotations import matrix_to_quaternion
from ..motion.skeleton import HUMANML3D
from ..readers.bodies import JOINTS, NO_TOES, BodyMap
from ..readers.bvh import BvhFile, open_bvh
from ..readers.gltf import GltfFile, open_gltf
from ..readers.hierarchy import END_SITE, Hierarchy, about_axis, with_ancestors
from ..readers.motion import find_body

UPRIGHT = 0.8  # cosine of how far spine, thighs and shins may lean in a pose that stands
LEG = 0.8  # metres from hip to ankle of a grown person: tells the unit of a file that does not
UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0564444)  # metres, centimetres, millimetres, inches, CMU's unit


@dataclass(frozen=True, eq=False)
class Target:
    """A skeleton of K joints, parents first, and which of them play the part of ours.

    Attributes:
        rest: (K, 3) the joints when nothing is turned, in the file's axes and unit.
        body: where our 22 joints are in it.
        pose, turns: (K, 3) and (K, 4) the joints in a pose of a standing body, and how far each is turned in it; the
            rest pose, or, where that is no pose of a body, the first frame of a BVH file.
        axes: (3, 3) turns the file's axes into ours. unit: metres in one unit of the file.
        orders: (K,) Euler orders of a BVH file's channels; "ZXY" in others. ends: its end sites, by joint, in its unit.
        still_root: the pelvis of a BVH file hangs on a root and has position channels of its own.
        document, data: the two chunks of a GLB file; nodes: (K,) its nodes; world: (K, 4, 4) their rest transforms,
            and above: (4, 4) that of what the first one hangs on.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    body: BodyMap
    pose: np.ndarray
    turns: np.ndarray
    axes: np.ndarray
    unit: float
    orders: tuple[str, ...]
    document: dict | None = None
    data: bytes = b""
    nodes: tuple[int, ...] = ()
    world: np.ndarray | None = None
    above: np.ndarray = field(default_factory=lambda: np.eye(4))
    ends: Mapping[int, np.ndarray] = field(default_factory=dict)
    still_root: bool = False

    @property
    def places(self) -> np.ndarray:
        """(K, 3) the joints when nothing is turned, in our axes, metres."""
        return self.unit * self.rest @ self.axes.T

    @property
    def joints(self) -> np.ndarray:
        """(22, 3) our joints in `pose`, in our axes, metres; feet without toes point forwards."""
        joints = self.unit * _our_joints(self.names, self.pose, self.body) @ self.axes.T
        for ankle, toe in (HUMANML3D.left_foot, HUMANML3D.right_foot):
            if self.body.joints[JOINTS[toe]][-1] == NO_TOES:
                joints[toe] = joints[ankle] + np.linalg.norm(HUMANML3D.offsets[toe]) * np.array(HUMANML3D.t_pose[toe])
        return joints

    def axes_turned(self, turns: np.ndarray) -> np.ndarray:
        """Quaternions (..., 4) in the file's axes, in ours."""
        return np.concatenate([turns[..., :1], turns[..., 1:] @ self.axes.T], axis=-1)

    @property
    def poses_at_rest(self) -> bool:
        return self.pose is self.rest

    def node(self, joint: str) -> int | None:
        """The joint of this skeleton that lies where our joint of that name does; None where it lies between two."""
        source = self.body.joints[joint]
        return self.names.index(source) if isinstance(source, str) else None


def read_target(path: str | os.PathLike, body: BodyMap | str | os.PathLike | None = None) -> Target:
    """Read the skeleton of a .bvh or .glb file.

    body: which of its joints are ours, or the file of such a mapping; None: told from the names. Raises `LampError` for
    a file that cannot be read and a skeleton that is not recognised.
    """
    path = Path(path)
    readers: dict[str, Callable] = {".bvh": _read_bvh, ".glb": _read_glb}
    if path.suffix.lower() not in readers:
        raise LampError(f"cannot tell what {path} is; expected the skeleton of a character as .bvh or .glb")
    if not path.is_file():
        raise LampError(f"{path} is no file; give the .bvh or .glb file of a character")
    return readers[path.suffix.lower()](path, body)


def _read_bvh(path: Path, body: BodyMap | str | os.PathLike | None) -> Target:
    file = open_bvh(path)
    joints = [i for i, channels in enumerate(file.channels) if channels or file.parents[i] < 0]
    new = {old: i for i, old in enumerate(joints)}
    if any(file.parents[i] not in new for i in joints[1:]):
        raise LampError(f"{path} has joints below an end site; expected every joint to hang on another one")
    names = tuple(file.names[i] for i in joints)
    parents = (-1, *(new[file.parents[i]] for i in joints[1:]))
    orders = tuple("".join("XYZ"[axis] for _, axis, turns in file.channels[i] if turns) for i in joints)
    orders = tuple(order if sorted(order) == ["X", "Y", "Z"] else "ZXY" for order in orders)
    rest = file.hierarchy.rest[joints]
    body = find_body(Hierarchy(names, parents, rest), path, body)
    pose, turns = rest, np.tile([1.0, 0, 0, 0], (len(names), 1))
    if not _stands(names, rest, body):
        places, rotations = _first_frame(file)
        pose, turns = places[joints], matrix_to_quaternion(rotations[joints])
    sites = [i for i, name in enumerate(file.names) if i not in new and name.endswith(END_SITE)]
    ends = {new[file.parents[i]]: file.offsets[i] for i in sites if file.parents[i] in new}
    moving = {names[new[i]] for i in joints if any(not turns for _, _, turns in file.channels[i])}
    still_root = len(names) > 1 and body.joints["pelvis"] == names[1] and names[1] in moving
    placed = _placed(names, pose, body, path)
    return Target(path, names, parents, rest, body, pose, turns, *placed, orders, ends=ends, still_root=still_root)


def _first_frame(file: BvhFile) -> tuple[np.ndarray, np.ndarray]:
    """World positions (P, 3) and rotations (P, 3, 3) of all points."""
    frame = next(file.values())[0]
    places, turns = np.zeros((len(file.names), 3)), np.zeros((len(file.names), 3, 3))
    for point, parent in enumerate(file.parents):
        place, turn = file.offsets[point].copy(), np.eye(3)
        for column, axis, is_rotation in file.channels[point]:
            if is_rotation:
                turn = turn @ about_axis(axis, frame[column])
            else:
                place[axis] = frame[column] + (file.offsets[point][axis] if point in file.adds else 0)
        above = np.eye(3) if parent < 0 else turns[parent]
        places[point] = (0 if parent < 0 else places[parent]) + above @ place
        turns[point] = above @ turn
    return places, turns


def _read_glb(path: Path, body: BodyMap | str | os.PathLike | None) -> Target:
    file = open_gltf(path)
    if len(file.document.get("buffers", [])) > 1 or "uri" in str(file.document.get("buffers")):
        raise LampError(f"{path} keeps its data in several places; save it as one .glb file")
    nodes = file.nodes
    keep = _skeleton(file)
    names = tuple(nodes.names[i] for i in keep)
    new = {old: i for i, old in enumerate(keep)}
    parents = tuple(new.get(nodes.parents[i], -1) for i in keep)
    body = find_body(Hierarchy(names, parents, nodes.world[keep, :3, 3]), path, body)

    # What lies above the joint on which the pelvis hangs never moves.
    pelvis = body.joints["pelvis"]
    root = max(parents[names.index(pelvis)], 0) if isinstance(pelvis, str) else 0
    top = nodes.parents[keep[root]]
    below: list[int] = []
    for i, parent in enumerate(parents):
        if i == root or parent in below:
            below.append(i)
    keep = [keep[i] for i in below]
    names = tuple(names[i] for i in below)
    new = {old: i for i, old in enumerate(below)}
    parents = tuple(new.get(parents[i], -1) for i in below)
    world = nodes.world[keep]
    rest = world[:, :3, 3]
    return Target(
        path,
        names,
        parents,
        rest,
        body,
        rest,
        np.tile([1.0, 0, 0, 0], (len(names), 1)),
        *_placed(names, rest, body, path),
        ("ZXY",) * len(names),
        file.document,
        file.data,
        tuple(nodes.numbers[i] for i in keep),
        world,
        np.eye(4) if top < 0 else nodes.world[top],
    )


def _skeleton(file: GltfFile) -> list[int]:
    """The joints of the skin that has most, and what they hang on: one tree, parents first."""
    nodes = file.nodes
    with file.reading("skins"):
        skins = file.document.get("skins") or []
        joints = max((skin["joints"] for skin in skins), key=len, default=[])
        needed = with_ancestors([nodes.place[joint] for joint in joints], nodes.parents)
    if not needed:
        raise LampError(f"{file.path} has no skin, so nothing tells which of its nodes are a skeleton")
    roots = [i for i in needed if nodes.parents[i] < 0]
    if len(roots) != 1:
        raise LampError(f"the joints of {file.path} hang on {len(roots)} roots, expected one")
    return needed


def _our_joints(names: tuple[str, ...], places: np.ndarray, body: BodyMap) -> np.ndarray:
    """(22, 3)"""
    points = body.points
    return body.weights(points) @ places[[names.index(name) for name in points]]


def _stands(names: tuple[str, ...], places: np.ndarray, body: BodyMap) -> bool:
    """Whether legs run down and the spine up, along one of the axes."""
    at = dict(zip(JOINTS, _our_joints(names, places, body)))
    ways = [at["neck"] - at["pelvis"]]
    ways += [at[f"{side}_{a}"] - at[f"{side}_{b}"] for side in "lr" for a, b in (("hip", "knee"), ("knee", "ankle"))]
    ways = [way / max(np.linalg.norm(way), 1e-9) for way in ways]
    return max(min(sign * way[axis] for way in ways) for axis in range(3) for sign in (-1, 1)) > UPRIGHT


def _placed(names: tuple[str, ...], pose: np.ndarray, body: BodyMap, path: Path) -> tuple[np.ndarray, float]:
    """-> axes, unit."""
    at = dict(zip(JOINTS, _our_joints(names, pose, body)))
    halves = [(f"{side}_{a}", f"{side}_{b}") for side in "lr" for a, b in (("hip", "knee"), ("knee", "ankle"))]
    leg = sum(float(np.linalg.norm(at[end] - at[start])) for start, end in halves) / 2
    if not 0 < leg < np.inf:
        raise LampError(f"{path} has legs of no length; give a character with a body")
    return _axes(at), body.unit or min(UNITS, key=lambda unit: abs(np.log(leg * unit / LEG)))


def _axes(at: dict[str, np.ndarray]) -> np.ndarray:
    """The rotation by quarter turns that brings a pose nearest to standing along Y, left side towards +X."""
    left = at["l_hip"] - at["r_hip"] + at["l_shoulder"] - at["r_shoulder"]
    up = at["neck"] - at["pelvis"]
    rows = np.zeros((3, 3))
    rows[1] = _axis(up)
    rows[0] = _axis(np.where(rows[1] != 0, 0, left))
    rows[2] = np.cross(rows[0], rows[1])
    return rows


def _axis(way: np.ndarray) -> np.ndarray:
    """The direction of an axis, either way, to which `way` is nearest."""
    nearest = np.abs(way).argmax()
    return np.eye(3)[nearest] * (-1 if way[nearest] < 0 else 1)


def rotation_part(world: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) of transforms (..., 4, 4), their scale left out."""
    turn = world[..., :3, :3]
    return matrix_to_quaternion(turn / np.maximum(np.linalg.norm(turn, axis=-2, keepdims=True), 1e-12))
