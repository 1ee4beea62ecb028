"""glTF 2.0 files, .glb and .gltf: the document, its nodes and its arrays. Nothing in them is trusted."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from ..errors import LampError
from ..motion.rotations import matrix_to_quaternion
from .text import MAX_VALUES

JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
MAX_BYTES = 1 << 29
MAX_JSON = 1 << 26
MAX_NODES = 100_000
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
DATA = "data:"


@dataclass(eq=False)
class GltfFile:
    """document: the JSON. data: the binary chunk of a .glb file, empty in others."""

    path: Path
    document: dict
    data: bytes = b""

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turn whatever a damaged document does to the code inside into a `LampError` that names `what`."""
        try:
            yield
        except LampError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as error:
            raise LampError(
                f"{self.path} is a damaged glTF file: its {what} cannot be read ({error!r:.120})"
            ) from error

    @cached_property
    def nodes(self) -> Nodes:
        """Raises `LampError` for nodes that cannot be read or that hang on each other in a circle."""
        with self.reading("nodes"), np.errstate(all="ignore"):
            return _read_nodes(self.document.get("nodes", []), self.path)

    def array(self, index: int) -> np.ndarray:
        """(count, components) of an accessor: floats, or integers, normalised to floats where the file asks for it.

        Raises `LampError` for arrays that leave their buffer, and for buffers that are not in the file.
        """
        with self.reading(f"accessor {index!r:.20}"):
            accessor = self.item("accessors", index)
            shape = (_count(accessor["count"]), SIZES[accessor["type"]])
            if math.prod(shape) > MAX_VALUES:
                raise ValueError(f"{shape[0]} values")
            dtype = np.dtype(COMPONENTS[accessor["componentType"]])
            if "bufferView" in accessor:
                values = self._view(accessor, shape, dtype)
            else:
                values = np.zeros(shape, dtype)
            if "sparse" in accessor:
                sparse, values = accessor["sparse"], values.copy()
                count, where = _count(sparse["count"]), sparse["indices"]
                places = self._view(where, (count, 1), np.dtype(COMPONENTS[where["componentType"]]))[:, 0]
                values[places] = self._view(sparse["values"], (count, shape[1]), dtype)
            if accessor.get("normalized") and dtype.kind in "iu":
                return np.maximum(values / float(np.iinfo(dtype).max), -1.0)
            return values

    def item(self, kind: str, index: int) -> dict:
        """Entry `index` of one of the document's lists."""
        return self.document[kind][_count(index)]

    def _view(self, where: dict, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        """An array that begins `byteOffset` into a buffer view; its rows lie `byteStride` apart."""
        view = self.item("bufferViews", where["bufferView"])
        if any("compression" in name for name in view.get("extensions", ())):
            raise LampError(f"{self.path} holds compressed arrays; export it without compression (meshopt, Draco)")
        offset, length = _count(view.get("byteOffset", 0)), _count(view["byteLength"])
        inside = _count(where.get("byteOffset", 0))
        row = shape[1] * dtype.itemsize
        stride = _count(view.get("byteStride", 0)) or row
        if shape[0] and inside + stride * (shape[0] - 1) + row > length:
            raise ValueError("it leaves its buffer view")
        buffer = self._buffer(view["buffer"])
        if offset + length > len(buffer):
            raise ValueError("it leaves its buffer; the file is cut short")
        return np.ndarray(shape, dtype, buffer, offset + inside, (stride, dtype.itemsize))

    def _buffer(self, index: int) -> bytes:
        buffers = self.__dict__.setdefault("_buffers", {})
        if index not in buffers:
            buffers[index] = self._load(index, self.item("buffers", index).get("uri"))
        return buffers[index]

    def _load(self, index: int, uri: str | None) -> bytes:
        if uri is None and index == 0:
            return self.data
        if isinstance(uri, str) and uri.startswith(DATA):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise ValueError(f"data URI, {error}") from error
        place = Path(unquote(uri))
        if ":" in uri or place.is_absolute() or ".." in place.parts:
            raise LampError(
                f"{self.path} keeps its data at {uri[:80]!r}, where it is not read; save it as one .glb file"
            )
        file = self.path.parent / place
        if not file.is_file():
            raise LampError(
                f"{self.path} keeps its data in {uri[:80]!r}, which is not beside it; save it as one .glb file"
            )
        return _read_bytes(file)


@dataclass(frozen=True)
class Nodes:
    """N nodes, parents first.

    numbers: (N,) which entry of the document each one is. parents: (N,), -1 for roots. local: (N, 4, 4) transforms.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    parents: tuple[int, ...]
    local: np.ndarray

    @cached_property
    def world(self) -> np.ndarray:
        """(N, 4, 4)"""
        world = np.empty_like(self.local)
        for i, parent in enumerate(self.parents):
            world[i] = self.local[i] if parent < 0 else world[parent] @ self.local[i]
        return world

    @cached_property
    def place(self) -> dict[int, int]:
        """Where each entry of the document is in this order."""
        return {number: i for i, number in enumerate(self.numbers)}


def open_gltf(path: str | os.PathLike) -> GltfFile:
    """Read a .glb or .gltf file. Raises `LampError` for what is none, is cut short, or is over half a gigabyte."""
    path = Path(path)
    content = _read_bytes(path)
    try:
        text, data = _chunks(content) if content[:4] == b"glTF" else (content, b"")
        if len(text) > MAX_JSON:
            raise ValueError(f"{len(text)} bytes of JSON")
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
            raise ValueError("no asset")
        version = str(document["asset"].get("version"))
    except (struct.error, ValueError, RecursionError) as error:
        raise LampError(f"{path} is no glTF file, or a damaged one ({str(error)[:120]})") from error
    if not version.startswith("2."):
        raise LampError(f"{path} is glTF {version[:20]}, expected 2.0; export it again")
    return GltfFile(path, document, data)


def _chunks(content: bytes) -> tuple[bytes, bytes]:
    """The JSON and the binary part of a GLB file."""
    _, version, _ = struct.unpack_from("<4sII", content)
    if version != 2:
        raise ValueError(f"version {version} of GLB")
    parts, place = {}, 12
    while place + 8 <= len(content):
        length, kind = struct.unpack_from("<II", content, place)
        if place + 8 + length > len(content):
            raise ValueError("cut short")
        parts.setdefault(kind, (place + 8, place + 8 + length))
        place += 8 + length
    if JSON_CHUNK not in parts:
        raise ValueError("no JSON")
    return content[slice(*parts[JSON_CHUNK])], content[slice(*parts.get(BINARY_CHUNK, (0, 0)))]


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LampError(f"{path} is larger than {MAX_BYTES >> 20} MiB; export the character and its motion alone")
        return path.read_bytes()
    except OSError as error:
        raise LampError(f"cannot read {path} ({error.strerror or error}); give a file that exists") from error


def _count(value: object) -> int:
    """Numbers of a document that count or point at something: an index below zero would be taken from the end."""
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r:.40} where a whole number was expected")
    return value


def _read_nodes(entries: list[dict], path: Path) -> Nodes:
    if len(entries) > MAX_NODES:
        raise LampError(f"{path} has {len(entries)} nodes, at most {MAX_NODES} are read")
    below = [[_count(child) for child in entry.get("children", [])] for entry in entries]
    hanging = {child for children in below for child in children}
    waiting = [(i, -1) for i in reversed(range(len(entries))) if i not in hanging]
    numbers: list[int] = []
    parents: list[int] = []
    while waiting and len(numbers) <= len(entries):
        number, parent = waiting.pop()
        numbers.append(number)
        parents.append(parent)
        waiting += [(child, len(numbers) - 1) for child in reversed(below[number])]
    if len(numbers) != len(entries):
        raise LampError(f"{path} is a damaged glTF file: its nodes hang on each other in a circle")
    names = tuple(str(entries[i].get("name", f"node{i}")) for i in numbers)
    local = np.array([_transform(entries[i]) for i in numbers]).reshape(-1, 4, 4)
    nodes = Nodes(tuple(numbers), names, tuple(parents), local)
    if not np.isfinite(nodes.world).all():
        raise LampError(f"{path} is a damaged glTF file: its nodes hold values that are not finite")
    return nodes


AT_REST = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1), "scale": (1, 1, 1)}


def at_rest(entry: dict) -> dict[str, np.ndarray]:
    """Translation (1, 3), rotation (1, 4) x, y, z, w and scale (1, 3) of a node; of a matrix those without shear."""
    if "matrix" not in entry:
        return {name: np.array(entry.get(name, still), np.float64).reshape(1, -1) for name, still in AT_REST.items()}
    matrix = _transform(entry)
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    turn = matrix_to_quaternion(matrix[:3, :3] / np.maximum(scale, 1e-12))
    return {"translation": matrix[None, :3, 3], "rotation": np.roll(turn, -1)[None], "scale": scale[None]}


def _transform(entry: dict) -> np.ndarray:
    """(4, 4) of a node, given as a matrix or as translation, rotation and scale."""
    if "matrix" in entry:
        return np.array(entry["matrix"], dtype=np.float64).reshape(4, 4).T
    return compose(**at_rest(entry))[0]


def compose(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Transforms (T, 4, 4) of translations (T, 3), quaternions (T, 4) x, y, z, w and scales (T, 3)."""
    x, y, z, w = rotation.T
    turn = np.empty((len(rotation), 3, 3))
    turn[:, 0] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1)
    turn[:, 1] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1)
    turn[:, 2] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1)
    matrix = np.tile(np.eye(4), (len(turn), 1, 1))
    matrix[:, :3, :3] = turn * scale[:, None]
    matrix[:, :3, 3] = translation
    return matrix
