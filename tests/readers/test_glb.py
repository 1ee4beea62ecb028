"""glTF files as other programs write them: any arrays, any interpolation, any maker's names. And damaged ones."""

import base64
import json
import struct

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion
from lamp_fast.readers.clip import read_clip
from lamp_fast.readers.keyframes import sample
from lamp_fast.readers.motion import clip_names

from .conftest import joint_names

FPS = 20.0
CUBIC, STEP = "CUBICSPLINE", "STEP"


class Builder:
    """A document and its bytes, filled array by array."""

    def __init__(self):
        self.data = bytearray()
        self.document = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "animations": []}

    def view(self, content: bytes, **more) -> int:
        self.data += bytes(-len(self.data) % 4)
        self.document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)} | more
        )
        self.data += content
        return len(self.document["bufferViews"]) - 1

    def accessor(self, view, count, kind, component=5126, **more) -> int:
        entry = {"bufferView": view, "count": count, "type": kind, "componentType": component} | more
        self.document["accessors"].append({k: v for k, v in entry.items() if v is not None})
        return len(self.document["accessors"]) - 1

    def add(self, values: np.ndarray, kind: str) -> int:
        return self.accessor(self.view(values.astype("<f4").tobytes()), len(values), kind)

    def animation(self, name, channels, times, interpolation="LINEAR"):
        samplers, targets = [], []
        for node, path, output in channels:
            samplers.append({"input": times, "output": output, "interpolation": interpolation})
            targets.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})
        self.document["animations"].append({"name": name, "samplers": samplers, "channels": targets})

    def write(self, path, uri=None):
        self.document["buffers"] = [{"byteLength": len(self.data)} | ({"uri": uri} if uri else {})]
        path.write_bytes(container(self.document, b"" if uri else bytes(self.data)))
        return path


def container(document: dict, data: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data += bytes(-len(data) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def nodes_of(figure, names, scale=1.0, matrices=False):
    nodes = []
    for joint, name in enumerate(names):
        place = (figure.root[0] if joint == 0 else figure.offsets[joint]) / scale
        node = {"name": name}
        if matrices:
            matrix = np.eye(4)
            matrix[:3, 3] = place
            node["matrix"] = matrix.T.ravel().tolist()
        else:
            node["translation"] = place.tolist()
        if children := list(HUMANML3D.children[joint]):
            node["children"] = children
        nodes.append(node)
    return nodes


def xyzw(rotations):
    return np.roll(rotations, -1, axis=-1)


def built(figure, names=None, scale=1.0, encode=None, interpolation="LINEAR", matrices=False):
    """The figure as a builder: `encode(builder, values, kind)` adds an array in a way of its own."""
    builder = Builder()
    encode = encode or Builder.add
    builder.document["nodes"] = nodes_of(figure, names or joint_names("mixamo"), scale, matrices)
    times = builder.add(np.arange(len(figure.root))[:, None] / FPS, "SCALAR")
    channels = [(0, "translation", encode(builder, figure.root / scale, "VEC3"))]
    channels += [(j, "rotation", encode(builder, xyzw(figure.rotations[:, j]), "VEC4")) for j in range(22)]
    builder.animation("walk", channels, times, interpolation)
    return builder


def check(figure, path, tolerance=1e-4):
    motion = read_motion(path)
    np.testing.assert_allclose(motion.joints, figure.expected(), atol=tolerance)
    return motion


def interleaved(builder, values, kind):
    """Rows with others between them."""
    rows = np.concatenate([values, np.full((len(values), 5), 7.0)], axis=1).astype("<f4")
    return builder.accessor(builder.view(rows.tobytes(), byteStride=4 * rows.shape[1]), len(rows), kind)


def sparse(builder, values, kind):
    """Every second row is in the array, the others are put over zeros."""
    values = values.astype("<f4")
    base = values.copy()
    where = np.arange(1, len(values), 2).astype("<u2")
    base[where] = 0
    entry = {
        "count": len(where),
        "indices": {"bufferView": builder.view(where.tobytes()), "componentType": 5123},
        "values": {"bufferView": builder.view(values[where].tobytes())},
    }
    return builder.accessor(builder.view(base.tobytes()), len(values), kind, sparse=entry)


def all_sparse(builder, values, kind):
    """No array at all, but every row put over it."""
    values, where = values.astype("<f4"), np.arange(len(values)).astype("<u4")
    entry = {
        "count": len(where),
        "indices": {"bufferView": builder.view(where.tobytes()), "componentType": 5125},
        "values": {"bufferView": builder.view(values.tobytes())},
    }
    return builder.accessor(None, len(values), kind, sparse=entry)


def small_integers(builder, values, kind):
    """Rotations in 16 bits."""
    if kind != "VEC4":
        return builder.add(values, kind)
    values = np.round(values * 32767).astype("<i2")
    return builder.accessor(builder.view(values.tobytes()), len(values), kind, 5122, normalized=True)


def cubic(builder, values, kind):
    """Keys with the tangents of the straight line between their neighbours."""
    tangents = np.gradient(values, axis=0) * FPS
    return builder.add(np.stack([tangents, values, tangents], axis=1).reshape(-1, values.shape[1]), kind)


@pytest.mark.parametrize("encode", [interleaved, sparse, all_sparse, small_integers])
def test_arrays(figure, tmp_path, encode):
    path = built(figure, encode=encode).write(tmp_path / "m.glb")
    check(figure, path, 1e-3 if encode is small_integers else 1e-4)


def test_cubic_splines_and_steps(figure, tmp_path):
    check(figure, built(figure, encode=cubic, interpolation=CUBIC).write(tmp_path / "c.glb"))
    check(figure, built(figure, interpolation=STEP).write(tmp_path / "s.glb"))


def test_names_of_every_maker(figure, tmp_path, maker):
    check(figure, built(figure, joint_names(maker)).write(tmp_path / "m.glb"))


def test_below_an_armature_in_centimetres(figure, tmp_path):
    """As Blender and Mixamo's converters write it: an armature of scale 0.01, turned by a quarter, and a mesh."""
    builder = built(figure, scale=0.01)
    nodes = builder.document["nodes"]
    nodes.append({"name": "Armature", "scale": [0.01] * 3, "children": [0]})
    nodes.append({"name": "mesh", "mesh": 0, "skin": 0})
    builder.document["skins"] = [{"joints": list(range(22))}]
    check(figure, builder.write(tmp_path / "m.glb"))
    nodes[22]["rotation"] = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    motion = read_motion(builder.write(tmp_path / "m.glb"))
    turned = figure.joints @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert np.abs(motion.joints - (turned - turned[0, 0] * [1, 0, 1])).max() < 1e-4


def test_matrices_and_centimetres_without_a_scale(figure, tmp_path):
    """Animated nodes given as matrices, against the rules; a file in centimetres, though the unit is the metre."""
    builder = built(figure, scale=0.01)
    builder.document["nodes"].append(
        {"name": "root", "matrix": np.diag([1, 1, 1, 1]).ravel().tolist(), "children": [0]}
    )
    check(figure, builder.write(tmp_path / "m.glb"))
    check(figure, built(figure, matrices=True).write(tmp_path / "matrices.glb"))


def test_data_inside_and_beside(figure, tmp_path):
    builder = built(figure)
    uri = "data:application/octet-stream;base64," + base64.b64encode(builder.data).decode()
    check(figure, builder.write(tmp_path / "inside.glb", uri))
    (tmp_path / "a b.bin").write_bytes(builder.data)
    check(figure, builder.write(tmp_path / "beside.glb", "a%20b.bin"))
    (tmp_path / "text.gltf").write_text(json.dumps(builder.document))
    check(figure, tmp_path / "text.gltf")
    for uri, words in (
        ("missing.bin", "not beside it"),
        ("../m.bin", "not read|where it is not"),
        ("https://example.org/m.bin", "not read"),
        ("/etc/passwd", "not read"),
        ("data:;base64,@@", "damaged"),
    ):
        with pytest.raises(LampError, match=words):
            read_motion(builder.write(tmp_path / "bad.glb", uri))


def test_several_animations(figure, tmp_path):
    builder = built(figure)
    first = builder.document["animations"][0]
    pose = {"name": "pose", "samplers": [first["samplers"][1] | {"input": builder.add(np.zeros((1, 1)), "SCALAR")}]}
    pose["samplers"][0]["output"] = builder.add(np.array([[0, 0, 0, 1.0]]), "VEC4")
    builder.document["animations"].append(
        pose | {"channels": [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}]}
    )
    path = builder.write(tmp_path / "m.glb")
    check(figure, path)
    assert clip_names(path) == [None]
    builder.document["animations"] += [first | {"name": "walk"}, first | {"name": "run"}]
    path = builder.write(tmp_path / "m.glb")
    assert clip_names(path) == ["walk", "walk (2)", "run"]
    with pytest.raises(LampError, match=r"3 motions; name one \(clip=\), for example walk"):
        read_motion(path)
    np.testing.assert_allclose(read_motion(path, clip="run").joints, figure.expected(), atol=1e-4)
    with pytest.raises(LampError, match="no animation 'jump'; it has walk"):
        read_motion(path, clip="jump")


def test_frame_rates_and_starts(figure, tmp_path):
    """Keys at 60 frames a second that begin late; and three keys in two seconds, which are no frame rate."""
    builder = built(figure)
    times = (7.5 + np.arange(len(figure.root)) / 60).astype("<f4")
    builder.document["animations"][0]["samplers"] = [
        s | {"input": len(builder.document["accessors"])} for s in builder.document["animations"][0]["samplers"]
    ]
    builder.add(times[:, None], "SCALAR")
    clip = read_clip(builder.write(tmp_path / "m.glb"))
    assert clip.fps == 60 and len(clip) == len(figure.root)
    np.testing.assert_allclose(clip.joints, figure.joints, atol=1e-4)

    sparse_keys = Builder()
    sparse_keys.document["nodes"] = nodes_of(figure, joint_names("unity"))
    keys = sparse_keys.add(np.array([[0.0], [1.0], [2.0]]), "SCALAR")
    turns = np.array([[0, 0, 0, 1], [0, np.sqrt(0.5), 0, np.sqrt(0.5)], [0, 1, 0, 0]])
    sparse_keys.animation("turn", [(0, "rotation", sparse_keys.add(turns, "VEC4"))], keys)
    clip = read_clip(sparse_keys.write(tmp_path / "k.glb"))
    assert clip.fps == 30 and len(clip) == 61
    across = clip.joints[:, 1] - clip.joints[:, 2]
    angles = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    np.testing.assert_allclose(np.diff(angles), np.pi / 60, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"fps": 60}, {"root_joint": True}])
def test_ours(figure, tmp_path, options):
    contacts = np.random.default_rng(0).random((len(figure.root), 4)) < 0.5
    clip = Clip(figure.joints, HUMANML3D, FPS, contacts, ["a person dances"] * len(contacts), seed=5)
    save(clip, tmp_path / "m.glb", **options)
    read = read_clip(tmp_path / "m.glb")
    step = round(read.fps / FPS)
    np.testing.assert_allclose(read.joints[::step], clip.joints, atol=1e-3)
    assert read.prompt == "a person dances" and read.seed == 5
    if step == 1:
        assert (read.contacts == contacts).all()


def test_between_keys():
    """Against the formula of the specification, and rotations along the shorter arc at constant speed."""
    times, at = np.array([1.0, 3.0]), np.array([0.0, 1.0, 1.5, 3.0, 9.0])
    keys = np.array([[0, 0.0], [1, 2], [3, 1], [2, -1], [5, 0], [0, 0]])
    t, d = 0.25, 2.0
    value = (2 * t**3 - 3 * t**2 + 1) * keys[1] + d * (t**3 - 2 * t**2 + t) * keys[2]
    value += (-2 * t**3 + 3 * t**2) * keys[4] + d * (t**3 - t**2) * keys[3]
    expected = [keys[1], keys[1], value, keys[4], keys[4]]
    np.testing.assert_allclose(sample(times, keys, CUBIC, at, False), expected, atol=1e-12)
    np.testing.assert_allclose(sample(times, keys[[1, 4]], STEP, at, False), keys[[1, 1, 1, 4, 4]])
    still, half = np.array([0, 0, 0, 1.0]), np.array([0, 1.0, 0, 0])
    turned = sample(
        times, np.stack([still, -np.array([0, np.sin(0.5), 0, np.cos(0.5)])]), "LINEAR", np.array([2.0]), True
    )
    np.testing.assert_allclose(np.abs(turned), [[0, np.sin(0.25), 0, np.cos(0.25)]], atol=1e-7)
    np.testing.assert_allclose(sample(times[:1], half[None], "LINEAR", at, True), np.tile(half, (5, 1)))


def damages(figure):
    """(what, a function that spoils a builder, words of the sentence)."""

    def entry(kind, index, **more):
        return lambda b: b.document[kind][index].update(more)

    return {
        "no animation": (lambda b: b.document.update(animations=[]), "no animation"),
        "a circle": (entry("nodes", 3, children=[0]), "circle"),
        "a child that is not there": (entry("nodes", 3, children=[99]), "damaged"),
        "an index below zero": (entry("accessors", 1, bufferView=-1), "damaged"),
        "an array past its view": (entry("accessors", 1, count=10**6), "damaged"),
        "an array of a thousand million": (entry("accessors", 1, count=10**9), "damaged"),
        "a view past the file": (entry("bufferViews", 1, byteLength=10**9, byteOffset=10**8), "damaged"),
        "a strange component": (entry("accessors", 1, componentType=1), "damaged"),
        "a name for a number": (entry("accessors", 1, count="many"), "damaged"),
        "no samplers": (lambda b: b.document["animations"][0].pop("samplers"), "damaged"),
        "a strange interpolation": (
            lambda b: b.document["animations"][0]["samplers"][0].update(interpolation="X"),
            "damaged",
        ),
        "scale of nothing": (entry("nodes", 0, scale=[0, 0, 0]), "legs"),
        "not a number": (entry("nodes", 0, translation=["a", 0, 0]), "damaged"),
        "infinite": (entry("nodes", 1, translation=[1e308, 1e308, 1e308], scale=[1e300] * 3), "finite"),
        "glTF 1": (lambda b: b.document["asset"].update(version="1.0"), "expected 2.0"),
        "compressed": (
            lambda b: b.document["bufferViews"][1].update(extensions={"EXT_meshopt_compression": {}}),
            "without compression",
        ),
        "strange names": (
            lambda b: [n.update(name=f"x{i}") for i, n in enumerate(b.document["nodes"])],
            "not recognised",
        ),
    }


@pytest.mark.parametrize("what", damages(None))
def test_damage_gets_a_sentence(figure, tmp_path, what):
    spoil, words = damages(figure)[what]
    builder = built(figure)
    spoil(builder)
    with pytest.raises(LampError, match=words):
        read_motion(builder.write(tmp_path / "m.glb"))


def test_endless_times(figure, tmp_path):
    """Two keys a thousand years apart announce more frames than any capture has."""
    builder = Builder()
    builder.document["nodes"] = nodes_of(figure, joint_names("mixamo"))
    keys = builder.add(np.array([[0.0], [3e10]]), "SCALAR")
    builder.animation("long", [(0, "rotation", builder.add(np.array([[0, 0, 0, 1.0]] * 2), "VEC4"))], keys)
    with pytest.raises(LampError, match="frames"):
        read_motion(builder.write(tmp_path / "m.glb"))


def test_cut_files(figure, tmp_path):
    content = built(figure).write(tmp_path / "m.glb").read_bytes()
    for cut in [*range(0, 64, 3), *range(64, len(content) - 4, 1009)]:
        (tmp_path / "cut.glb").write_bytes(content[:cut])
        with pytest.raises(LampError):
            read_motion(tmp_path / "cut.glb")
