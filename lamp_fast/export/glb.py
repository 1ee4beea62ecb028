"""GLB, glTF 2.0 in one binary file: a skeleton in its rest pose, a body of sticks around it, and one animation.

Written here, without a library: a chunk of JSON and a chunk of arrays.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping

import numpy as np

from .. import __version__
from ..files import new_file
from ..motion.animation import Animation
from ..motion.feet import runs
from ..readers.gltf import BINARY_CHUNK, JSON_CHUNK
from .motion import Motion
from .stick_body import rest_joints, stick_body

FLOAT, UNSIGNED_SHORT = 5126, 5123
COMPONENTS = {np.dtype("<f4"): FLOAT, np.dtype("<u2"): UNSIGNED_SHORT}
ARRAY_BUFFER = 34962
COLOURS = {"": (0.22, 0.26, 0.33), "l": (0.13, 0.42, 0.75), "r": (0.82, 0.33, 0.16)}
SIDES = {"": "middle", "l": "left", "r": "right"}


class Buffer:
    """The arrays of a file, and the lists of the document that say where they lie."""

    def __init__(self, document: dict, data: bytes = b""):
        self.document, self.data = document, bytearray(data)

    def add(self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append an array and return the number of its accessor. kind: SCALAR, VEC3, VEC4 or MAT4."""
        self.data += bytes(-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        views, accessors = (self.document.setdefault(name, []) for name in ("bufferViews", "accessors"))
        views.append(view | ({"target": target} if target else {}))
        accessor = {"bufferView": len(views) - 1, "componentType": COMPONENTS[values.dtype], "type": kind}
        accessor["count"] = len(values)
        if bounds:
            accessor |= {"min": np.atleast_1d(values.min(0)).tolist(), "max": np.atleast_1d(values.max(0)).tolist()}
        accessors.append(accessor)
        self.data += values.tobytes()
        return len(accessors) - 1


def write_glb(path: str | os.PathLike, animation: Animation, name: str, extras: Mapping) -> None:
    """Write one animation of that name, the root joint carrying it through the world.

    extras: what the file shall tell beside, such as prompt, seed and contacts; kept with the animation, as JSON.
    Raises `LampError` for a path that cannot be written.
    """
    count = len(animation.names)
    document: dict = {
        "asset": {"version": "2.0", "generator": f"lamp_fast {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0, count]}],
        "nodes": [_node(animation, joint) for joint in range(count)],
    }
    document["nodes"].append({"name": "body", "mesh": 0, "skin": 0})
    buffer = Buffer(document)
    _add_body(buffer, animation)
    add_animation(buffer, animation, list(range(count)), name, extras)
    write_document(path, document, bytes(buffer.data))


def _node(animation: Animation, joint: int) -> dict:
    place = animation.offsets[joint] if joint else animation.root[0]
    children = [child for child, parent in enumerate(animation.parents) if parent == joint]
    node = {"name": animation.names[joint], "translation": place.astype("<f4").tolist()}
    return node | ({"children": children} if children else {})


def _add_body(buffer: Buffer, animation: Animation) -> None:
    """Mesh and skin. The root's place in the rest pose is that of the first frame."""
    document, rest = buffer.document, rest_joints(animation)
    inverse = np.tile(np.eye(4, dtype="<f4"), (len(rest), 1, 1))
    inverse[:, 3, :3] = -rest  # the transpose: columns first
    joints = list(range(len(rest)))
    document["skins"] = [{"joints": joints, "skeleton": 0, "inverseBindMatrices": buffer.add(inverse, "MAT4")}]
    document["materials"], primitives = [], []
    for side, part in stick_body(animation).items():
        indices, weights = np.zeros((2, len(part.joints), 4))
        indices[:, 0], weights[:, 0] = part.joints, 1
        attributes = {
            "POSITION": buffer.add(part.points.astype("<f4"), "VEC3", ARRAY_BUFFER, bounds=True),
            "NORMAL": buffer.add(part.normals.astype("<f4"), "VEC3", ARRAY_BUFFER),
            "JOINTS_0": buffer.add(indices.astype("<u2"), "VEC4", ARRAY_BUFFER),
            "WEIGHTS_0": buffer.add(weights.astype("<f4"), "VEC4", ARRAY_BUFFER),
        }
        primitives.append({"attributes": attributes, "material": len(document["materials"])})
        surface = {"baseColorFactor": [*COLOURS[side], 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
        document["materials"].append({"name": SIDES[side], "pbrMetallicRoughness": surface})
    document["meshes"] = [{"name": "sticks", "primitives": primitives}]


def add_animation(buffer: Buffer, animation: Animation, nodes: list[int], name: str, extras: Mapping) -> None:
    """Append an animation whose joint k moves node `nodes[k]`: all rotations, and the place of the first joint."""
    seconds = buffer.add((np.arange(len(animation.root)) / animation.fps).astype("<f4"), "SCALAR", bounds=True)
    samplers, channels = [], []

    def move(joint: int, path: str, values: np.ndarray, kind: str) -> None:
        samplers.append({"input": seconds, "output": buffer.add(values.astype("<f4"), kind), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": nodes[joint], "path": path}})

    move(0, "translation", animation.root, "VEC3")
    if animation.pelvis is not None:
        move(1, "translation", animation.pelvis, "VEC3")
    for joint in range(len(animation.names)):
        move(joint, "rotation", np.roll(animation.rotations[:, joint], -1, axis=-1), "VEC4")  # w last
    moves = {"name": name, "samplers": samplers, "channels": channels, "extras": dict(extras)}
    buffer.document.setdefault("animations", []).append(moves)


def about(motion: Motion) -> dict:
    """What a GLB tells beside: prompt, seed, and for each foot joint its contacts as [start, end] in seconds."""
    feet = [motion.skeleton.joint_names[j] for j in (*motion.skeleton.left_foot, *motion.skeleton.right_foot)]
    contacts = {
        name: [[round(float(frame) / motion.fps, 6) for frame in run] for run in runs(down)]
        for name, down in zip(feet, np.asarray(motion.contacts).T)
    }
    return {"prompt": motion.prompt, "seed": motion.seed, "contacts": contacts}


def write_document(path: str | os.PathLike, document: dict, data: bytes) -> None:
    """Write the two chunks, each padded to a multiple of four bytes."""
    data += bytes(-len(data) % 4)
    text = json.dumps(document | {"buffers": [{"byteLength": len(data)}]}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with new_file(path) as file, open(file, "wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data)))
        stream.write(struct.pack("<II", len(text), JSON_CHUNK) + text)
        stream.write(struct.pack("<II", len(data), BINARY_CHUNK) + data)
