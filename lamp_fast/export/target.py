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
from ..readers.bvh import open_bvh
from ..readers.hierarchy import Hierarchy
from ..readers.motion import find_body
from .glb import BINARY_CHUNK, JSON_CHUNK

MAX_BYTES = 1 << 30
MAX_NODES = 100_000
LEG = 0.8  # metres from hip to ankle of a grown person: tells the unit of a file that does not
UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0564444)  # metres, centimetres, millimetres, inches, CMU's unit


@dataclass(frozen=True, eq=False)
class Target:
    """A skeleton of K joints, parents first, and which of them play the part of ours.

    Attributes:
        rest: (K, 3) the joints in the rest pose, in the file's axes and unit.
        body: where our 22 joints are in it.
        axes: (3, 3) turns the file's axes into ours. unit: metres in one unit of the file.
        orders: (K,) Euler orders of a BVH file's channels; "ZXY" in others.
        document, data: the two chunks of a GLB file; nodes: (K,) its nodes; world: (K, 4, 4) their rest transforms.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    body: BodyMap
    axes: np.ndarray
    unit: float
    orders: tuple[str, ...]
    document: dict | None = None
    data: bytes = b""
    nodes: tuple[int, ...] = ()
    world: np.ndarray | None = None

    @property
    def places(self) -> np.ndarray:
        """(K, 3) the rest pose in our axes, metres."""
        return self.unit * self.rest @ self.axes.T

    @property
    def joints(self) -> np.ndarray:
        """(22, 3) the rest pose of our joints, in our axes, metres."""
        points = self.body.points
        indices = [self.names.index(name) for name in points]
        return self.body.weights(points) @ self.places[indices]

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
    hierarchy = Hierarchy(names, parents, file.hierarchy.rest[joints])
    return Target(path, names, parents, hierarchy.rest, *_placed(hierarchy, path, body), orders)


def _read_glb(path: Path, body: BodyMap | str | os.PathLike | None) -> Target:
    document, data = _chunks(path)
    try:
        nodes = document["nodes"]
        names = [str(node.get("name", f"node{i}")) for i, node in enumerate(nodes)]
        order, parents = _parents_first(nodes, path)
        world: list[np.ndarray] = []
        for i, parent in zip(order, parents):
            matrix = _matrix(nodes[i])
            world.append(matrix if parent < 0 else world[parent] @ matrix)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise LampError(f"{path} is a damaged GLB file: its nodes cannot be read ({error!r})") from error
    world_of = np.array(world)
    if not np.isfinite(world_of).all():
        raise LampError(f"{path} is a damaged GLB file: its nodes hold values that are not finite")
    names = tuple(names[i] for i in order)
    # One hierarchy above all: the pelvis and what it hangs on come first, whatever else the scene holds.
    keep = _skeleton(names, parents, document, order, path)
    new = {old: i for i, old in enumerate(keep)}
    hierarchy = Hierarchy(
        tuple(names[i] for i in keep), tuple(new.get(parents[i], -1) for i in keep), world_of[keep, :3, 3]
    )
    return Target(
        path,
        hierarchy.names,
        hierarchy.parents,
        hierarchy.rest,
        *_placed(hierarchy, path, body),
        ("ZXY",) * len(keep),
        document,
        data,
        tuple(order[i] for i in keep),
        world_of[keep],
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


def _skeleton(names: tuple[str, ...], parents: list[int], document: dict, order: list[int], path: Path) -> list[int]:
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


def _placed(
    hierarchy: Hierarchy, path: Path, body: BodyMap | str | os.PathLike | None
) -> tuple[BodyMap, np.ndarray, float]:
    """-> mapping, axes, unit."""
    body = find_body(hierarchy, path, body)
    points = body.points
    joints = body.weights(points) @ hierarchy.rest[[hierarchy.index[name] for name in points]]
    at = dict(zip(JOINTS, joints))
    legs = [np.linalg.norm(at[f"{s}_knee"] - at[f"{s}_hip"]) + np.linalg.norm(at[f"{s}_ankle"] - at[f"{s}_knee"]) for s in "lr"]
    leg = float(np.mean(legs))
    if not 0 < leg < np.inf:
        raise LampError(f"{path} has legs of no length in its rest pose; give a character in a T-pose or an A-pose")
    unit = body.unit or min(UNITS, key=lambda unit: abs(np.log(leg * unit / LEG)))
    return body, _axes(at), unit


def _axes(at: dict[str, np.ndarray]) -> np.ndarray:
    """The rotation by quarter turns that brings a rest pose nearest to standing along Y, left side towards +X."""
    left = at["l_hip"] - at["r_hip"] + at["l_shoulder"] - at["r_shoulder"]
    up = at["neck"] - at["pelvis"]
    left, up = left / max(np.linalg.norm(left), 1e-9), up / max(np.linalg.norm(up), 1e-9)
    rows = np.zeros((3, 3))
    rows[0, np.abs(left).argmax()] = np.sign(left[np.abs(left).argmax()])
    up = np.where(rows[0] != 0, 0, up)
    rows[1, np.abs(up).argmax()] = np.sign(up[np.abs(up).argmax()]) or 1
    rows[2] = np.cross(rows[0], rows[1])
    return rows


def rotation_part(world: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) of transforms (..., 4, 4), their scale left out."""
    turn = world[..., :3, :3]
    return matrix_to_quaternion(turn / np.maximum(np.linalg.norm(turn, axis=-2, keepdims=True), 1e-12))
