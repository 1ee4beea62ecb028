"""Characters made here, with names, rest poses, axes and units as of Mixamo, Unreal and Unity."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export.bvh import write_bvh
from lamp_fast.export.retarget import _legs, retarget, save_retargeted
from lamp_fast.export.target import read_target
from lamp_fast.motion.animation import Animation
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.feet import standing
from lamp_fast.motion.heading import turned
from lamp_fast.motion.skeleton import HUMANML3D, KIT
from lamp_fast.readers import read_motion
from lamp_fast.readers.clip import read_clip

from ..readers.conftest import Figure
from ..readers.test_rigs import RIGS, build, bvh

SIDES = (("l", 1), ("r", -1))
# Joints of a rest pose: (name, parent, place in metres: left, up, forward); arms hang by that many degrees.
MIXAMO = {"arms": 0, "side": ("Left", "Right"), "prefix": "mixamorig:"}
UNREAL = {"arms": 45, "side": ("_l", "_r"), "prefix": ""}
UNITY = {"arms": 30, "side": ("Left", "Right"), "prefix": ""}


def character(style):
    """-> names, parents, places (K, 3) of a rest pose in our axes and metres."""
    joints = []

    def add(name, parent, place):
        joints.append((style["prefix"] + name, parent and style["prefix"] + parent, place))

    if style is UNREAL:
        add("root", None, (0, 0, 0))
        spine = ["spine_01", "spine_02", "spine_03", "spine_04", "spine_05"]
        add("pelvis", "root", (0, 0.95, 0))
        names = (
            "pelvis",
            "neck_01",
            "head",
            "clavicle",
            "upperarm",
            "lowerarm",
            "hand",
            "thigh",
            "calf",
            "foot",
            "ball",
        )
    elif style is MIXAMO:
        spine = ["Spine", "Spine1", "Spine2"]
        add("Hips", None, (0, 1.0, 0))
        names = ("Hips", "Neck", "Head", "Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "ToeBase")
    else:
        spine = ["Spine", "Chest", "UpperChest"]
        add("Hips", None, (0, 1.0, 0))
        names = (
            "Hips", "Neck", "Head", "Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toes",
        )  # fmt: skip
    pelvis, neck, head, *limbs = names
    heights = np.linspace(1.08, 1.38, len(spine))
    for i, (name, height) in enumerate(zip(spine, heights)):
        add(name, spine[i - 1] if i else pelvis, (0, height, -0.02 * np.sin(i)))
    add(neck, spine[-1], (0, 1.5, -0.02))
    add(head, neck, (0, 1.6, 0.01))
    angle = np.radians(style["arms"])
    along = np.array([np.cos(angle), -np.sin(angle), 0])
    for (_, sign), word in zip(SIDES, style["side"]):
        clavicle, upper, lower, hand, thigh, calf, foot, toe = (
            name + word if word.startswith("_") else word + name for name in limbs
        )
        flip = np.array([sign, 1, 1])
        shoulder = np.array([0.17, 1.44, -0.03])
        add(clavicle, spine[-1], flip * (0.03, 1.44, -0.02))
        add(upper, clavicle, flip * shoulder)
        add(lower, upper, flip * (shoulder + 0.27 * along))
        add(hand, lower, flip * (shoulder + 0.52 * along))
        add("index" + word if word.startswith("_") else word + "HandIndex1", hand, flip * (shoulder + 0.6 * along))
        add(thigh, pelvis, flip * (0.09, 0.94, 0))
        add(calf, thigh, flip * (0.1, 0.5, 0.01))
        add(foot, calf, flip * (0.11, 0.09, -0.02))
        add(toe, foot, flip * (0.12, 0.02, 0.1))
    order = [name for name, _, _ in joints]
    parents = [-1 if parent is None else order.index(parent) for _, parent, _ in joints]
    return tuple(order), tuple(parents), np.array([place for _, _, place in joints], float)


def as_bvh(path, style, axes, units):
    names, parents, places = character(style)
    offsets = (places - places[np.maximum(parents, 0)]) @ axes.T
    offsets[0] = 0
    still = np.tile([1.0, 0, 0, 0], (1, len(names), 1))
    root = places[:1] @ axes.T
    write_bvh(path, Animation(names, parents, offsets, still, root, 30, ("YXZ",) * len(names)), units)


def as_glb(path, style, seed=0):
    """Bones with axes of their own, below an armature that is turned and scaled, as exporters make them."""
    names, parents, places = character(style)
    rng = np.random.default_rng(seed)
    world = np.tile(np.eye(4), (len(names), 1, 1))
    for k in range(len(names)):
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        world[k, :3, :3] = 100 * q * np.sign(np.linalg.det(q))  # the scale that undoes the armature's
        world[k, :3, 3] = places[k]
    world[:, :3, :3] *= 0.01
    armature = np.eye(4)
    armature[:3, :3] = 0.01 * np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    above = [armature if parent < 0 else world[parent] for parent in parents]
    local = [np.linalg.inv(a) @ w for a, w in zip(above, world)]
    nodes = [{"name": "Armature", "matrix": armature.T.ravel().tolist(), "children": [1]}]
    for k, matrix in enumerate(local):
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        node = {"name": names[k], "translation": matrix[:3, 3].tolist(), "scale": scale.tolist()}
        node["rotation"] = quaternion(matrix[:3, :3] / scale)
        children = [c + 1 for c, parent in enumerate(parents) if parent == k]
        nodes.append(node | ({"children": children} if children else {}))
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "skins": [{"joints": list(range(1, len(nodes)))}],
        "buffers": [{"byteLength": 4}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data = struct.pack("<4sIIII", b"glTF", 2, 12 + 8 + len(text) + 12, len(text), 0x4E4F534A) + text
    path.write_bytes(data + struct.pack("<II", 4, 0x004E4942) + bytes(4))


def quaternion(m):
    """x, y, z, w by the eigenvector of the largest eigenvalue."""
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m)],
        ]
    )
    return np.linalg.eigh(k)[1][:, -1].tolist()


def played(path):
    """{name: (T, 3)} of a GLB file, by matrices."""
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    nodes, (animation,) = document["nodes"], document["animations"]

    def array(index, width):
        accessor = document["accessors"][index]
        start = document["bufferViews"][accessor["bufferView"]]["byteOffset"]
        return np.frombuffer(binary, "<f4", accessor["count"] * width, start).reshape(-1, width).astype(float)

    tracks = {}
    for channel in animation["channels"]:
        path_of = channel["target"]["path"]
        output = animation["samplers"][channel["sampler"]]["output"]
        tracks[channel["target"]["node"], path_of] = array(output, 4 if path_of == "rotation" else 3)
    frames = len(next(iter(tracks.values())))
    places = {}

    def visit(index, above):
        node = nodes[index]
        local = np.tile(np.eye(4), (frames, 1, 1))
        if "matrix" in node:
            local[:] = np.array(node["matrix"]).reshape(4, 4).T
        else:
            x, y, z, w = np.broadcast_to(tracks.get((index, "rotation"), node["rotation"]), (frames, 4)).T
            turn = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
            local[:, :3, :3] = np.array(turn).transpose(2, 0, 1) * node["scale"]
            local[:, :3, 3] = tracks.get((index, "translation"), node["translation"])
        world = above @ local
        places[node["name"]] = world[:, :3, 3]
        for child in node.get("children", []):
            visit(child, world)

    visit(0, np.tile(np.eye(4), (frames, 1, 1)))
    return places


@pytest.fixture(scope="module")
def walk(shared_data):
    with np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz") as clips:
        joints = clips["bn_2_walk-turn-left_feminine_011"][:60].astype(np.float32) / 1000
    clip = Clip(joints, HUMANML3D, 20.0, np.zeros((60, 4), bool), ["a walk"] * 60, seed=3)
    return Clip(joints, HUMANML3D, 20.0, standing(clip), clip.frame_prompts, clip.seed)


LIMBS = [("l_hip", "l_knee"), ("l_knee", "l_ankle"), ("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist")]
LIMBS += [(a.replace("l_", "r_", 1), b.replace("l_", "r_", 1)) for a, b in LIMBS]


def angles(joints, expected):
    """Degrees between limbs of (T, 22, 3) joints."""
    index = HUMANML3D.joint_names.index
    worst = {}
    for start, end in LIMBS:
        a, b = (j[:, index(end)] - j[:, index(start)] for j in (joints, expected))
        cos = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        worst[end] = np.degrees(np.arccos(np.clip(cos, -1, 1))).max()
    return worst


def check_limbs(joints, motion):
    """Arms point where ours do; legs bend a little further, so that feet stay where they stand."""
    for end, degrees in angles(joints, motion.joints).items():
        assert degrees < (10 if end.endswith(("knee", "ankle")) else 1), end


Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("style", "axes", "units"),
    [(MIXAMO, np.eye(3), 100), (UNREAL, Z_UP, 100), (UNITY, np.eye(3), 1)],
    ids=["mixamo", "unreal", "unity"],
)
def test_bvh_characters(style, axes, units, walk, tmp_path):
    """Limbs point where ours do, feet reach the floor, and the file is in the axes, the unit and the order it had."""
    as_bvh(tmp_path / "character.bvh", style, axes, units)
    target = read_target(tmp_path / "character.bvh")
    np.testing.assert_allclose(target.axes @ axes, np.eye(3), atol=1e-9)
    assert target.unit == 1 / units and set(target.orders) == {"YXZ"}
    save_retargeted(walk, tmp_path / "m.bvh", target)
    before, after = ((tmp_path / name).read_text().split("MOTION")[0] for name in ("character.bvh", "m.bvh"))
    assert before == after
    joints = read_motion(tmp_path / "m.bvh").joints
    check_limbs(joints, walk)
    assert abs(np.percentile(joints[:, [10, 11], 1], 5)) < 0.04


@pytest.mark.parametrize("style", [MIXAMO, UNREAL, UNITY], ids=["mixamo", "unreal", "unity"])
def test_glb_characters(style, walk, tmp_path):
    as_glb(tmp_path / "character.glb", style)
    target = read_target(tmp_path / "character.glb")
    assert target.unit == 1
    save_retargeted(walk, tmp_path / "m.glb", target)
    places = played(tmp_path / "m.glb")
    animation = retarget(walk, target)
    for k, name in enumerate(animation.names):
        if name != "Armature" and name != "root":
            np.testing.assert_allclose(places[name], animation.joints[:, k], atol=1e-5)
    joints = np.stack([target.body.weights(target.body.points) @ frame for frame in np.stack(
        [places[name] for name in target.body.points], axis=1)])  # fmt: skip
    check_limbs(joints, walk)
    assert abs(np.percentile(joints[:, [10, 11], 1], 5)) < 0.04


def sliding_along(motion, places):
    """Metres a second that toes in contact move otherwise than ours, scaled. places: (T, 22, 3)."""
    scale = _legs(places, HUMANML3D).mean() / _legs(motion.joints, HUMANML3D).mean()
    apart = places[:, [10, 11]] - scale * motion.joints[:, [10, 11]]
    down = motion.contacts[:, [1, 3]]
    return (np.linalg.norm(np.diff(apart, axis=0)[..., [0, 2]], axis=-1) * motion.fps)[down[1:] & down[:-1]].mean()


def test_planted_feet_stay_planted(walk, tmp_path, monkeypatch):
    """On a character with wide hips feet would slide, if all of its bones had the directions of ours."""
    as_glb(tmp_path / "character.glb", MIXAMO)
    target = read_target(tmp_path / "character.glb")
    rest = target.rest * [1.3, 1, 1]
    target = replace(target, rest=rest, pose=rest)
    points = [target.names.index(name) for name in target.body.points]

    def slides():
        return sliding_along(walk, target.body.weights(target.body.points) @ retarget(walk, target).joints[:, points])

    planted = slides()
    monkeypatch.setattr("lamp_fast.export.retarget.plant_feet", lambda animation, *_: animation)
    assert planted < 0.02 and planted < 0.25 * slides()


def numbers(text):
    return [float(word) for word in text.split() if word.lstrip("-").replace(".", "").isdecimal()]


@pytest.mark.parametrize("maker", RIGS)
def test_skeletons_not_seen_before(maker, walk, tmp_path):
    """Twist bones, long spines, no toes, feet and hands with bones between; the figure stands in a T-pose."""
    bones = np.linalg.norm(HUMANML3D.offsets, axis=1, keepdims=True) * np.array(HUMANML3D.t_pose)
    still = Figure(np.tile([1.0, 0, 0, 0], (3, 22, 1)), np.tile([0, 0.9, 0], (3, 1)), bones)
    joints = build(still, maker)
    (tmp_path / "rig.bvh").write_text(bvh(still, joints))
    target = read_target(tmp_path / "rig.bvh")
    moved = retarget(walk, target)
    points = [moved.names.index(name) for name in target.body.points]
    check_limbs(target.body.weights(target.body.points) @ moved.joints[:, points], walk)
    save_retargeted(walk, tmp_path / "m.bvh", target)
    before, after = (numbers((tmp_path / name).read_text().split("MOTION")[0]) for name in ("rig.bvh", "m.bvh"))
    np.testing.assert_allclose(after, before, atol=1e-4)  # the rig's own bones and end sites
    check_limbs(read_motion(tmp_path / "m.bvh").joints, walk)


def test_fingers_stay_on_their_hands(walk, tmp_path):
    as_glb(tmp_path / "character.glb", MIXAMO)
    save_retargeted(walk, tmp_path / "m.glb", read_target(tmp_path / "character.glb"))
    places = {name.removeprefix("mixamorig:"): place for name, place in played(tmp_path / "m.glb").items()}
    finger, forearm = places["LeftHandIndex1"] - places["LeftHand"], places["LeftHand"] - places["LeftForeArm"]
    cos = (finger * forearm).sum(-1) / np.linalg.norm(finger, axis=-1) / np.linalg.norm(forearm, axis=-1)
    assert cos.min() > 0.999


@pytest.mark.parametrize("name", ["bn_2_run_normal_009", "cmu_118_03"])
def test_captured_skeletons(name, walk, shared_data, tmp_path):
    """Bandai-Namco's, all of whose bones lie along X when nothing is turned, and CMU's with its short-cut thorax."""
    target = read_target(shared_data / "raw" / f"{name}.bvh")
    assert target.poses_at_rest == name.startswith("cmu")
    save_retargeted(walk, tmp_path / "m.bvh", target)
    save_retargeted(walk, tmp_path / "m.glb", target)
    check_limbs(read_motion(tmp_path / "m.bvh").joints, walk)


def test_a_circle_changes_nothing_but_the_heading(walk, tmp_path):
    as_glb(tmp_path / "character.glb", UNREAL)
    target = read_target(tmp_path / "character.glb")
    straight = retarget(walk, target).joints
    for angle in np.radians([90, 180, 270]):
        spun = Clip(turned(walk.joints, np.full((60, 22), angle)), HUMANML3D, 20.0, walk.contacts, walk.frame_prompts)
        np.testing.assert_allclose(
            retarget(spun, target).joints, turned(straight, np.full(straight.shape[:2], angle)), atol=1e-3
        )


def test_what_cannot_be_a_character(walk, tmp_path):
    with pytest.raises(LampError, match="bvh or .glb"):
        read_target(tmp_path / "character.fbx")
    with pytest.raises(LampError, match="no file"):
        read_target(tmp_path / "character.glb")
    for damage, words in ((b"", "no glTF file"), (b"glTF\x02\0\0\0\x0c\0\0\0", "no glTF file")):
        (tmp_path / "bad.glb").write_bytes(damage)
        with pytest.raises(LampError, match=words):
            read_target(tmp_path / "bad.glb")
    as_glb(tmp_path / "good.glb", MIXAMO)
    good = (tmp_path / "good.glb").read_bytes()
    damages = [(b'"children": [1]', b'"children": [0]'), (b'"joints"', b'"jointz"'), (b'"nodes": [{', b'"nodez": [{')]
    for old, new in damages:
        (tmp_path / "bad.glb").write_bytes(good.replace(old, new))
        with pytest.raises(LampError):
            read_target(tmp_path / "bad.glb")
    for cut in range(0, len(good), 997):
        (tmp_path / "bad.glb").write_bytes(good[:cut])
        with pytest.raises(LampError):
            read_target(tmp_path / "bad.glb")
    kit = Clip(np.zeros((2, 21, 3)), KIT, 12.5, np.zeros((2, 4), bool), ["", ""])
    with pytest.raises(LampError, match="humanml3d"):
        retarget(kit, read_target(tmp_path / "good.glb"))
    with pytest.raises(LampError, match=".bvh or .glb"):
        save_retargeted(walk, tmp_path / "m.npz", read_target(tmp_path / "good.glb"))


@pytest.mark.parametrize("suffix", [".bvh", ".glb"])
def test_root_motion(walk, suffix, tmp_path):
    """A root that carries path and heading: the same joints, the root on the ground, the pelvis over it."""
    character_file = tmp_path / f"character{suffix}"
    as_bvh(character_file, UNREAL, np.eye(3), 100.0) if suffix == ".bvh" else as_glb(character_file, UNREAL)
    target = read_target(character_file)
    usual, moved = retarget(walk, target), retarget(walk, target, root_motion=True)
    np.testing.assert_allclose(moved.joints[:, 1:], usual.joints[:, 1:], atol=1e-5)
    np.testing.assert_allclose(moved.root, usual.joints[:, 1] * [1, 0, 1], atol=1e-6)
    assert np.ptp(moved.pelvis[:, [0, 2]], axis=0).max() < 1e-6
    for name, root_motion in (("usual", False), ("moved", True)):
        save_retargeted(walk, tmp_path / f"{name}{suffix}", target, root_motion=root_motion)
    usual, moved = (read_clip(tmp_path / f"{name}{suffix}").joints for name in ("usual", "moved"))
    np.testing.assert_allclose(moved, usual, atol=1e-3)
    if suffix == ".glb":
        root = played(tmp_path / "moved.glb")["root"]
        np.testing.assert_allclose(root, moved[:, 0] * [1, 0, 1], atol=1e-3)


def test_root_motion_needs_a_root(walk, tmp_path):
    as_bvh(tmp_path / "character.bvh", MIXAMO, np.eye(3), 100.0)
    with pytest.raises(LampError, match="does not hang on its root"):
        retarget(walk, read_target(tmp_path / "character.bvh"), root_motion=True)
