"""Skeletons of several makers and BVH files of them, written from a walking figure's known rotations."""

from dataclasses import dataclass

import numpy as np
import pytest

from lamp_fast.motion.kinematics import forward_kinematics
from lamp_fast.motion.rotations import expmap_to_quaternion, quaternion_to_euler
from lamp_fast.motion.skeleton import HUMANML3D

MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase",
    "collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand",
}  # fmt: skip
ROKOKO = {"spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3", "hip": "Thigh", "knee": "Shin", "foot": "Toe"}
UNREAL = {
    "pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01",
    "head": "head", "hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball", "collar": "clavicle",
    "shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand",
}  # fmt: skip
XSENS = {
    "pelvis": "Hips", "spine1": "Chest", "spine2": "Chest2", "spine3": "Chest3", "collar": "Collar", "hip": "Hip",
    "shoulder": "Shoulder", "elbow": "Elbow", "wrist": "Wrist", "knee": "Knee", "ankle": "Ankle", "foot": "Toe",
}  # fmt: skip
BIPED = {
    "pelvis": "Pelvis", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "hip": "Thigh", "knee": "Calf",
    "foot": "Toe0", "collar": "Clavicle", "shoulder": "UpperArm", "elbow": "Forearm",
}  # fmt: skip
UNITY = {
    "spine2": "Chest", "spine3": "UpperChest", "hip": "UpperLeg", "knee": "LowerLeg", "foot": "Toes",
    "shoulder": "UpperArm", "elbow": "LowerArm",
}  # fmt: skip
MAKERS = {
    "mixamo": (MIXAMO, "mixamorig:{side}{part}", ("Left", "Right")),
    "mixamo without colon": (MIXAMO, "mixamorig{side}{part}", ("Left", "Right")),
    "lafan1": (MIXAMO | {"foot": "Toe"}, "{side}{part}", ("Left", "Right")),
    "rokoko": (MIXAMO | ROKOKO, "{side}{part}", ("Left", "Right")),
    "a common prefix": (MIXAMO, "Model_{side}{part}", ("Left", "Right")),
    "unreal": (UNREAL, "{part}{side}", ("_l", "_r")),
    "100style": (MIXAMO | XSENS, "{side}{part}", ("Left", "Right")),
    "unity": (MIXAMO | UNITY, "{side}{part}", ("Left", "Right")),
    "3ds max": (MIXAMO | BIPED, "Bip01 {side}{part}", ("L ", "R ")),
    "smpl": ({p: p.capitalize() for p in MIXAMO}, "{side}{part}", ("L_", "R_")),
    "humanml3d": ({p: p for p in MIXAMO}, "{side}{part}", ("l_", "r_")),
}


def joint_names(maker: str) -> list[str]:
    """What a maker calls the 22 joints."""
    parts, pattern, sides = MAKERS[maker]
    names = []
    for joint in HUMANML3D.joint_names:
        sided = joint[:2] in ("l_", "r_")
        side = sides["lr".index(joint[0])] if sided else ""
        names.append(pattern.format(side=side, part=parts[joint[2:] if sided else joint]))
    return names


@dataclass
class Figure:
    """A figure that moves: local rotations (T, J, 4), root (T, 3) and bones (J, 3) in metres, from a T-pose."""

    rotations: np.ndarray
    root: np.ndarray
    offsets: np.ndarray

    @property
    def joints(self) -> np.ndarray:
        return forward_kinematics(self.rotations, self.root, self.offsets, HUMANML3D)

    def expected(self) -> np.ndarray:
        """What a reader makes of it."""
        return self.joints - self.root[0] * [1, 0, 1]


@pytest.fixture(scope="session")
def figure() -> Figure:
    random = np.random.default_rng(0)
    time = np.linspace(0, 2 * np.pi, 31)[:, None, None]
    swing = random.normal(size=(2, 22, 3)) * 0.4
    rotations = expmap_to_quaternion(np.sin(time) * swing[0] + np.cos(time) * swing[1])
    root = np.stack([3 + time[:, 0, 0], 0.9 + 0 * time[:, 0, 0], -time[:, 0, 0]], axis=1)
    lengths = np.linalg.norm(HUMANML3D.offsets, axis=1, keepdims=True)
    return Figure(rotations, root, lengths * np.array(HUMANML3D.t_pose))


def bvh_text(
    figure: Figure, names: list[str], *, unit: float = 0.01, order: str = "ZXY", frame_time: str = "0.05", up: str = "y"
) -> str:
    """The figure as BVH, with rotation channels in the given order."""
    swap = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) if up == "z" else np.eye(3)
    offsets, root = figure.offsets @ swap.T / unit, figure.root @ swap.T / unit
    rotations = np.concatenate([figure.rotations[..., :1], figure.rotations[..., 1:] @ swap.T], axis=-1)
    angles = quaternion_to_euler(rotations, order.lower())
    turning = " ".join(f"{axis}rotation" for axis in order)
    lines, columns = ["HIERARCHY"], []

    def write(joint: int) -> None:
        columns.append(joint)
        offset = " ".join(f"{x:.6f}" for x in offsets[joint])
        channels = f"3 {turning}" if joint else f"6 Xposition Yposition Zposition {turning}"
        lines.extend(
            [f"{'JOINT' if joint else 'ROOT'} {names[joint]}", "{", f"OFFSET {offset}", f"CHANNELS {channels}"]
        )
        children = HUMANML3D.children[joint]
        for child in children:
            write(child)
        if not children:
            lines.extend(["End Site", "{", f"OFFSET {offset}", "}"])
        lines.append("}")

    write(0)
    values = np.concatenate([root, angles[:, columns].reshape(len(root), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(root)}", f"Frame Time: {frame_time}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in values.tolist()]
    return "\n".join(lines) + "\n"


@pytest.fixture(params=MAKERS)
def maker(request) -> str:
    """Each maker of skeletons in turn."""
    return request.param


@pytest.fixture
def write_bvh_file(figure, tmp_path):
    """`write_bvh_file(maker, **options of bvh_text) -> path`: the figure on a maker's skeleton."""

    def write(maker="mixamo", names=None, edit=lambda text: text, **options):
        path = tmp_path / "figure.bvh"
        path.write_text(edit(bvh_text(figure, names or joint_names(maker), **options)))
        return path

    return write
