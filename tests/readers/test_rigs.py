"""Skeletons of other laboratories and tools, with more joints or fewer, and files in their exporters' ways."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.motion.rotations import quaternion_to_euler, quaternion_to_matrix
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.motion import read_joints

from .conftest import MIXAMO, ROKOKO, UNITY, UNREAL, XSENS

BODY = {part: part for part in MIXAMO}
CC3 = {
    "pelvis": "Hip", "spine1": "Waist", "spine2": "Spine01", "spine3": "Spine02", "neck": "NeckTwist01 NeckTwist02",
    "head": "Head", "hip": "Thigh", "knee": "Calf", "ankle": "Foot", "foot": "ToeBase", "collar": "Clavicle",
    "shoulder": "Upperarm", "elbow": "Forearm", "wrist": "Hand",
}  # fmt: skip
DAZ = {
    "pelvis": "hip", "spine1": "abdomenLower", "spine2": "abdomenUpper", "spine3": "chestLower chestUpper",
    "neck": "neckLower neckUpper", "head": "head", "hip": "ThighBend ThighTwist", "knee": "Shin",
    "ankle": "Foot Metatarsals", "foot": "Toe", "collar": "Collar", "shoulder": "ShldrBend ShldrTwist",
    "elbow": "ForearmBend ForearmTwist", "wrist": "Hand",
}  # fmt: skip
RIGIFY = {
    "pelvis": "spine", "spine1": "spine.001", "spine2": "spine.002", "spine3": "spine.003",
    "neck": "spine.004 spine.005", "head": "spine.006", "hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe",
    "collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand",
}  # fmt: skip
MANNY = {"spine1": "spine_01 spine_02", "spine2": "spine_03 spine_04", "spine3": "spine_05", "neck": "neck_01 neck_02"}
KINECT = {"pelvis": "HipCenter", "spine1": "", "spine2": "Spine", "spine3": "", "neck": "ShoulderCenter", "collar": ""}
MOTIVE = {
    "pelvis": "Hip", "spine1": "Ab", "spine2": "", "spine3": "Chest", "hip": "Thigh", "knee": "Shin", "foot": "Toe",
    "shoulder": "UArm", "elbow": "FArm",
}  # fmt: skip
AMC2BVH = {
    "pelvis": "root", "spine1": "upperback", "spine2": "", "spine3": "thorax", "neck": "lowerneck", "head": "head",
    "hip": "femur", "knee": "tibia", "ankle": "foot", "foot": "toes", "collar": "clavicle", "shoulder": "humerus",
    "elbow": "radius", "wrist": "wrist hand",
}  # fmt: skip

# How a tool calls the 22 joints: parts of the body (several words: joints between it and the next; none: it has none),
# the pattern of names, the sides, and what lies above the pelvis.
RIGS = {
    "xsens": (MIXAMO | XSENS | {"spine3": "Chest3 Chest4"}, "{side}{part}", ("Left", "Right"), ()),
    "motionbuilder": (MIXAMO, "Character1:{side}{part}", ("Left", "Right"), ("Character1:Reference",)),
    "motionbuilder, underscores": (MIXAMO, "Character1_{side}{part}", ("Left", "Right"), ("Character1_Reference",)),
    "perception neuron": (MIXAMO | {"neck": "Neck Neck1", "foot": ""}, "{side}{part}", ("Left", "Right"), ()),
    "rokoko": (MIXAMO | ROKOKO | {"spine3": "Spine3 Spine4"}, "{side}{part}", ("Left", "Right"), ()),
    "motive": (MIXAMO | MOTIVE, "{side}{part}", ("L", "R"), ()),
    "character creator": (CC3, "CC_Base_{side}{part}", ("L_", "R_"), ("CC_Base_BoneRoot",)),
    "vrm": (MIXAMO | UNITY | {"foot": "ToeBase"}, "J_Bip_{side}{part}", ("L_", "R_"), ("Root",)),
    "rigify": (RIGIFY, "{part}{side}", (".L", ".R"), ()),
    "rigify, deforming bones": (RIGIFY, "DEF-{part}{side}", (".L", ".R"), ()),
    "daz": (DAZ, "{side}{part}", ("l", "r"), ()),
    "manny": (UNREAL | MANNY, "{part}{side}", ("_l", "_r"), ("root",)),
    "unity": (MIXAMO | UNITY, "{side}{part}", ("Left", "Right"), ("Armature",)),
    "kinect": (MIXAMO | XSENS | {"foot": "Foot"} | KINECT, "{part}{side}", ("Left", "Right"), ()),
    "amc2bvh": (AMC2BVH, "{side}{part}", ("l", "r"), ()),
    "small letters": ({k: v.lower() for k, v in MIXAMO.items()}, "{side}{part}", ("left", "right"), ()),
    "capitals": ({k: v.upper() for k, v in MIXAMO.items()}, "{side}{part}", ("LEFT", "RIGHT"), ()),
}


@dataclass
class Joint:
    """turned_by: which of our joints it turns with, None if it never turns. ours: which one it is."""

    name: str
    parent: int
    offset: np.ndarray
    turned_by: int | None
    ours: int | None


def build(figure, maker) -> list[Joint]:
    parts, pattern, sides, above = RIGS[maker]
    joints = [Joint(name, i - 1, np.zeros(3), None, None) for i, name in enumerate(above)]
    ends = {-1: len(above) - 1}  # the joint on which what hangs on one of ours hangs
    rest = {-1: np.zeros(3)}  # of the way to one of our joints, what is left from there
    share = {-1: 1.0}
    for ours, name in enumerate(HUMANML3D.joint_names):
        sided, parent = name[:2] in ("l_", "r_"), HUMANML3D.parents[ours]
        offset = rest[parent] + share[parent] * (figure.offsets[ours] if ours else np.zeros(3))
        words = parts[name[2:] if sided else name].split()
        rest[ours], share[ours], ends[ours] = offset, 1.0, ends[parent]
        if not words:
            continue
        children = HUMANML3D.children[ours]
        step = figure.offsets[children[0]] / len(words) if children else np.full(3, 0.02)
        rest[ours], share[ours] = np.zeros(3), 1 / len(words)
        for i, word in enumerate(words):
            called = pattern.format(part=word, side=sides["lr".index(name[0])] if sided else "C_" * ("J_" in pattern))
            here = offset if i == 0 else step
            joints.append(Joint(called, ends[ours], here, None if i else ours, None if i else ours))
            ends[ours] = len(joints) - 1
    return joints


def places(figure, joints) -> dict[int, np.ndarray]:
    found, at, turns = {}, [], []
    for joint in joints:
        still = joint.turned_by is None
        turn = np.eye(3)[None] if still else quaternion_to_matrix(figure.rotations[:, joint.turned_by])
        if joint.ours == 0:
            at.append(figure.root)
        else:
            at.append(joint.offset[None] if joint.parent < 0 else at[joint.parent] + turns[joint.parent] @ joint.offset)
        turns.append(turn if joint.parent < 0 else turns[joint.parent] @ turn)
        if joint.ours is not None:
            found[joint.ours] = at[-1]
    return found


def bvh(figure, joints, order="ZXY", unit=0.01, every_position=None, frame_time="0.0166667") -> str:
    """every_position: "kept" or "zero": six channels for each joint, with its offset or nothing in three of them."""
    lines, columns, turning = ["HIERARCHY"], [], " ".join(f"{axis}rotation" for axis in order)

    def write(i: int) -> None:
        joint, moves = joints[i], joints[i].ours == 0 or joints[i].parent < 0 or every_position
        lines.extend([f"{'JOINT' if joint.parent >= 0 else 'ROOT'} {joint.name}", "{"])
        lines.append("\tOFFSET\t" + " ".join(f"{x:.6f}" for x in joint.offset / unit))
        positions = "Xposition Yposition Zposition " if moves else ""
        lines.append(f"\tCHANNELS {6 if moves else 3} {positions}{turning}")
        if moves:
            offset = joint.offset * (every_position != "zero")
            columns.append((figure.root if joint.ours == 0 else np.tile(offset, (len(figure.root), 1))) / unit)
        still = np.zeros((len(figure.root), 3))
        turned = joint.turned_by
        columns.append(still if turned is None else quaternion_to_euler(figure.rotations[:, turned], order.lower()))
        below = [k for k, other in enumerate(joints) if other.parent == i]
        for k in below:
            write(k)
        if not below:
            lines.extend(["End Site", "{", "\tOFFSET 0 5 0", "}"])
        lines.append("}")

    write(0)
    lines += ["MOTION", f"Frames: {len(figure.root)}", f"Frame Time: {frame_time}"]
    lines += [" ".join(f"{v:.6f}" for v in row) + " " for row in np.concatenate(columns, axis=1)]
    return "\n".join(lines) + "\n"


def check(figure, joints, path, skip=("spine1", "spine2", "spine3")):
    """Millimetres, but for the spine, which is shared out anew where it has another number of joints."""
    read, fps, _, _ = read_joints(path)
    assert fps == 60
    for ours, expected in places(figure, joints).items():
        if HUMANML3D.joint_names[ours] not in skip:
            np.testing.assert_allclose(read[:, ours], expected, atol=1e-3, err_msg=HUMANML3D.joint_names[ours])


@pytest.mark.parametrize("maker", RIGS)
def test_rigs(figure, maker, tmp_path):
    joints = build(figure, maker)
    (tmp_path / "m.bvh").write_text(bvh(figure, joints))
    check(figure, joints, tmp_path / "m.bvh")


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
@pytest.mark.parametrize("every_position", [None, "kept", "zero"])
def test_channels(figure, order, every_position, tmp_path):
    joints = build(figure, "motionbuilder")
    (tmp_path / "m.bvh").write_text(bvh(figure, joints, order, every_position=every_position))
    check(figure, joints, tmp_path / "m.bvh", skip=())


def wrapped(text):
    """Ten numbers a line, as some old exporters write them."""
    head, _, rows = text.partition("Frame Time: 0.0166667\n")
    lines = []
    for row in rows.splitlines():
        words = row.split()
        lines += [" ".join(words[i : i + 10]) for i in range(0, len(words), 10)]
    return head + "Frame Time: 0.0166667\n" + "\n".join(lines) + "\n"


WAYS = {
    "numbers in many lines": wrapped,
    "tabs": lambda text: re.sub(r"(?<=\d) (?=[\d-])", "\t", text),
    "no space after the colon": lambda text: text.replace("Frames: ", "Frames:").replace("Time: ", "Time:"),
    "a space before the colon": lambda text: text.replace("Frames:", "Frames :").replace("Time:", "Time :"),
    "another case": lambda text: text.replace("rotation", "ROTATION").replace("MOTION", "Motion").replace("e T", "e t"),
    "braces behind names": lambda text: re.sub(r"\n\s*\{", " {", text),
    "names of end sites": lambda text: text.replace("End Site", "End Site Nub"),
    "end sites in one word": lambda text: text.replace("End Site", "EndSite"),
    "an old end mark": lambda text: text + "\x1a",
    "zeros at the end": lambda text: text + "\0\0",
    "old line ends": lambda text: text.replace("\n", "\r"),
    "exponents": lambda text: re.sub(r"(?<=[ \n])-?\d+\.\d{6}(?=[ \n])", lambda m: f"{float(m[0]):.9e}", text),
    "two namespaces": lambda text: text.replace("Character1:", "scene:Character1:"),
    "a path": lambda text: text.replace("Character1:", "Armature|"),
    "a numbered prefix": lambda text: text.replace("Character1:", "mixamorig9:"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_write_it(figure, way, tmp_path):
    joints = build(figure, "motionbuilder")
    (tmp_path / "m.bvh").write_bytes(WAYS[way](bvh(figure, joints)).encode())
    check(figure, joints, tmp_path / "m.bvh", skip=())


def test_a_body_without_names_is_not_guessed(figure, tmp_path):
    joints = build(figure, "manny")
    for i, joint in enumerate(joints):
        joint.name = f"bone_{i}"
    (tmp_path / "m.bvh").write_text(bvh(figure, joints))
    with pytest.raises(LampError, match="lamp-fast data map"):
        read_joints(tmp_path / "m.bvh")
