"""The file is read back by a parser of its own, written from the glTF 2.0 specification."""

import json
import struct

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export import about, save
from lamp_fast.motion.animation import animate
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.features import uniform_skeleton
from lamp_fast.motion.skeleton import HUMANML3D

WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_glb(path):
    """-> document, function that returns the array of an accessor."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data)) and length % 4 == 0
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0" and document["buffers"] == [{"byteLength": binary_size}]
    binary = data[28 + size :]

    def array(index):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        dtype = {5126: "<f4", 5123: "<u2"}[accessor["componentType"]]
        count = accessor["count"] * WIDTH[accessor["type"]]
        return np.frombuffer(binary, dtype, count, view["byteOffset"]).reshape(accessor["count"], -1)

    return document, array


def play(document, array):
    """-> {joint: (T, 3) in the world}, seconds (T,)."""
    (animation,) = document["animations"]
    moves = {
        (c["target"]["node"], c["target"]["path"]): animation["samplers"][c["sampler"]] for c in animation["channels"]
    }
    seconds = array(moves[0, "translation"]["input"])[:, 0]
    places = {}

    def visit(index, place, turn):
        node = document["nodes"][index]
        track = moves.get((index, "translation"))
        local = array(track["output"]) if track else np.tile(node["translation"], (len(seconds), 1))
        place = place + np.einsum("tij,tj->ti", turn, local)
        places[node["name"]] = place
        x, y, z, w = array(moves[index, "rotation"]["output"]).T.astype(float)
        matrix = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        for child in node.get("children", []):
            visit(child, place, turn @ np.array(matrix).transpose(2, 0, 1))

    visit(0, np.zeros((len(seconds), 3)), np.tile(np.eye(3), (len(seconds), 1, 1)))
    return places, seconds


def walk(frames=41, seed=3):
    """A body of constant bones that sways on its way."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 3, frames)[:, None, None]
    directions = np.array(HUMANML3D.t_pose) + 0.25 * np.sin(time + rng.uniform(0, 6, (1, 22, 3)))
    joints = np.zeros((frames, 22, 3))
    joints[:, 0] = np.stack([0.2 * time[:, 0, 0], 0.95 + 0 * time[:, 0, 0], time[:, 0, 0]], axis=1)
    joints[:, 1:] = uniform_skeleton(np.cumsum(directions, axis=1).astype(np.float32), HUMANML3D)[:, 1:]
    for parent, joint in HUMANML3D.bones:
        bone = directions[:, joint] / np.linalg.norm(directions[:, joint], axis=-1, keepdims=True)
        joints[:, joint] = joints[:, parent] + 0.25 * bone
    contacts = np.zeros((frames, 4), dtype=bool)
    contacts[2:5, 1] = contacts[7:, 1] = True
    return Clip(joints, HUMANML3D, 20.0, contacts, ["a person sways"] * frames, seed=7)


@pytest.mark.parametrize("frames", [1, 2, 41])
def test_joints_come_back(frames, tmp_path):
    clip = walk(frames)
    save(clip, tmp_path / "m.glb")
    places, seconds = play(*read_glb(tmp_path / "m.glb"))
    for j, name in enumerate(HUMANML3D.joint_names):
        np.testing.assert_allclose(places[name], clip.joints[:, j], atol=1e-5)  # float32
    np.testing.assert_allclose(seconds, np.arange(frames) / 20, atol=1e-6)


def test_a_root_on_the_ground_carries_path_and_heading(tmp_path):
    clip = walk()
    save(clip, tmp_path / "m.glb", root_joint=True)
    places, _ = play(*read_glb(tmp_path / "m.glb"))
    for j, name in enumerate(HUMANML3D.joint_names):
        np.testing.assert_allclose(places[name], clip.joints[:, j], atol=1e-5)
    np.testing.assert_allclose(places["root"], clip.root * [1, 0, 1], atol=1e-5)


@pytest.mark.parametrize("fps", [20, 24, 30, 60])
def test_frame_rates(fps, tmp_path):
    clip = walk()
    save(clip, tmp_path / "m.glb", fps=fps)
    places, seconds = play(*read_glb(tmp_path / "m.glb"))
    assert len(seconds) == 2 * fps + 1 and seconds[-1] == pytest.approx(2)
    expected = animate(clip.joints, HUMANML3D, 20).resampled(fps)
    for j, name in enumerate(expected.names):
        np.testing.assert_allclose(places[name], expected.joints[:, j], atol=1e-5)


def test_prompt_seed_and_contacts_are_told(tmp_path):
    save(walk(), tmp_path / "m.glb")
    (animation,) = read_glb(tmp_path / "m.glb")[0]["animations"]
    assert animation["name"] == "a person sways"
    assert animation["extras"] == about(walk())
    assert animation["extras"]["prompt"] == "a person sways" and animation["extras"]["seed"] == 7
    assert animation["extras"]["contacts"] == {
        "l_ankle": [],
        "l_foot": [[0.1, 0.25], [0.35, 2.05]],
        "r_ankle": [],
        "r_foot": [],
    }


def test_the_body_hangs_on_its_bones(tmp_path):
    """In the rest pose every point lies near the bone of the joint that moves it, and triangles face outwards."""
    save(walk(), tmp_path / "m.glb")
    document, array = read_glb(tmp_path / "m.glb")
    animation = animate(walk().joints, HUMANML3D, 20)
    rest = -array(document["skins"][0]["inverseBindMatrices"])[:, 12:15]
    primitives = document["meshes"][0]["primitives"]
    assert [document["materials"][p["material"]]["name"] for p in primitives] == ["middle", "left", "right"]
    for primitive in primitives:
        points, normals, joints, weights = (
            array(primitive["attributes"][name]) for name in ("POSITION", "NORMAL", "JOINTS_0", "WEIGHTS_0")
        )
        assert (weights == [1, 0, 0, 0]).all()
        for joint in np.unique(joints[:, 0]):
            own = points[joints[:, 0] == joint]
            ends = [rest[c] for c, parent in enumerate(animation.parents) if parent == joint] or [rest[joint]]
            reach = max(np.linalg.norm(end - rest[joint]) for end in ends) + 0.2
            assert np.linalg.norm(own - rest[joint], axis=1).max() < reach
        corners = points.reshape(-1, 3, 3)
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (np.einsum("ij,ij->i", faces, normals[::3]) > 0).all()
        solids = corners.reshape(-1, 8, 3, 3)  # 8 triangles each, closed and convex: normals point from the middle
        out = corners.mean(1).reshape(-1, 8, 3) - solids.mean((1, 2))[:, None]
        assert (np.einsum("sij,sij->si", out, faces.reshape(-1, 8, 3)) > 0).all()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("m.glb", {"coordinates": "unreal"}, "glTF's coordinates"),
        ("m.glb", {"channel_order": "ZXY"}, "no channels"),
        ("m.bvh", {"channel_order": "ZXZ"}, "ZYX"),
        ("m.bvh", {"coordinates": "maya"}, "blender"),
        ("m.npz", {"fps": 30}, "frame rate"),
        ("m.npz", {"root_joint": True}, "no root joint"),
        ("m.bvh", {"fps": -1}, "positive"),
        ("m.gif", {"coordinates": "unity"}, "picture"),
        ("m.fbx", {}, ".glb"),
    ],
)
def test_options_that_fit_no_file(name, options, words, tmp_path):
    with pytest.raises(LampError, match=words):
        save(walk(), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
