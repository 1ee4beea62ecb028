"""A character to be moved: the skeleton of a BVH or GLB file, in its rest pose."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.rotations import matrix_to_quaternion
from ..readers.bodies import JOINTS, BodyMap
from ..readers.bvh import BvhFile, open_bvh
from ..readers.hierarchy import Hierarchy, about_axis
from ..readers.motion import find_body
from .glb import BINARY_CHUNK, JSON_CHUNK

MAX_BYTES = 1 << 30
MAX_NODES = 100_000
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
        orders: (K,) Euler orders of a BVH file's channels; "ZXY" in others.
        document, data: the two chunks of a GLB file; nodes: (K,) its nodes; world: (K, 4, 4) their rest transforms.
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

    @property
    def places(self) -> np.ndarray:
        """(K, 3) the joints when nothing is turned, in our axes, metres."""
        return self.unit * self.rest @ self.axes.T

    @property
    def joints(self) -> np.ndarray:
        """(22, 3) our joints in `pose`, in our axes, metres."""
        return self.unit * _our_joints(self.names, self.pose, self.body) @ self.axes.T

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
    return Target(path, names, parents, rest, body, pose, turns, *_placed(names, pose, body, path), orders)


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
                place[axis] = frame[column]
        above = np.eye(3) if parent < 0 else turns[parent]
        places[point] = (0 if parent < 0 else places[parent]) + above @ place
        turns[point] = above @ turn
    return places, turns


def _read_glb(path: Path, body: BodyMap | str | os.PathLike | None) -> Target:
    document, data = _chunks(path)
    try:
        nodes = document["nodes"]
        names = [str(node.get("name", f"node{i}")) for i, node in enumerate(nodes)]
        order, parents = _parents_first(nodes, path)
        world: list[np.ndarray] = []
        with np.errstate(all="ignore"):  # what is not finite is refused below
            for i, parent in zip(order, parents):
                matrix = _matrix(nodes[i])
                world.append(matrix if parent < 0 else world[parent] @ matrix)
        keep = _skeleton(parents, document, order, path)
    except LampError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise LampError(f"{path} is a damaged GLB file: its nodes or skins cannot be read ({error!r})") from error
    world_of = np.array(world)
    if not np.isfinite(world_of).all():
        raise LampError(f"{path} is a damaged GLB file: its nodes hold values that are not finite")
    names = tuple(names[i] for i in order)
    new = {old: i for i, old in enumerate(keep)}
    names, world = tuple(names[i] for i in keep), world_of[keep]
    parents = tuple(new.get(parents[i], -1) for i in keep)
    rest = world[:, :3, 3]
    body = find_body(Hierarchy(names, parents, rest), path, body)
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
        document,
        data,
        tuple(order[i] for i in keep),
        world,
    )


def _chunks(path: Path) -> tuple[dict, bytes]:
    """The JSON and the binary part of a GLB file."""
    if path.stat().st_size > MAX_BYTES:
        raise LampError(f"{path} is larger than {MAX_BYTES >> 20} MiB; give the character alone")
    content = path.read_bytes()
    try:
        magic, version, _ = struct.unpack_from("<4sII", content)
        if magic != b"glTF" or version != 2:
            raise ValueError("no glTF 2.0 header")
        parts, place = {}, 12
        while place + 8 <= len(content):
            length, kind = struct.unpack_from("<II", content, place)
            parts[kind] = content[place + 8 : place + 8 + length]
            if len(parts[kind]) < length:
                raise ValueError("cut short")
            place += 8 + length
        document = json.loads(parts[JSON_CHUNK])
        if not isinstance(document, dict) or len(document.get("buffers", [])) > 1:
            raise ValueError("more than one buffer")
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LampError(f"{path} is no GLB file, or a damaged one ({error})") from error
    return document, parts.get(BINARY_CHUNK, b"")


def _parents_first(nodes: list[dict], path: Path) -> tuple[list[int], list[int]]:
    """Node numbers in an order in which parents come first, and the place in that order of each one's parent."""
    if len(nodes) > MAX_NODES:
        raise LampError(f"{path} has {len(nodes)} nodes, at most {MAX_NODES} are read")
    parent_of = {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}
    waiting = [(i, -1) for i in reversed(range(len(nodes))) if i not in parent_of]
    order, parents = [], []
    while waiting:
        node, parent = waiting.pop()
        order.append(node)
        parents.append(parent)
        if len(order) > len(nodes):
            break
        waiting += [(child, len(order) - 1) for child in reversed(nodes[node].get("children", []))]
    if len(order) != len(nodes):
        raise LampError(f"{path} is a damaged GLB file: its nodes hang on each other in a circle")
    return order, parents


def _matrix(node: dict) -> np.ndarray:
    """(4, 4) of a node's transform."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", [0, 0, 0, 1]), dtype=np.float64)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) + 2 * w * cross + 2 * cross @ cross) * np.array(node.get("scale", [1, 1, 1]), float)
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def _skeleton(parents: list[int], document: dict, order: list[int], path: Path) -> list[int]:
    """The joints of the skin that has most, and what they hang on: one tree, parents first."""
    skins = document.get("skins") or []
    if not skins:
        raise LampError(f"{path} has no skin, so nothing tells which of its nodes are a skeleton")
    joints = max((skin["joints"] for skin in skins), key=len)
    place = {node: i for i, node in enumerate(order)}
    needed: set[int] = set()
    for joint in joints:
        i = place[joint]
        while i >= 0 and i not in needed:
            needed.add(i)
            i = parents[i]
    roots = [i for i in needed if parents[i] < 0]
    if len(roots) != 1:
        raise LampError(f"the joints of {path} hang on {len(roots)} roots, expected one")
    return sorted(needed)


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
