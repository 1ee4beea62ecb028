"""Our files in Blender, by its own importers: bpy from PyPI, in the Python named by LAMP_FAST_BPY or in this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lamp_fast.export import save
from lamp_fast.export.retarget import retarget, save_retargeted
from lamp_fast.export.target import read_target
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.kinematics import forward_kinematics
from lamp_fast.motion.rotations import expmap_to_quaternion
from lamp_fast.motion.skeleton import HUMANML3D

from .test_retarget import MIXAMO, as_glb

SCRIPT = Path(__file__).resolve().parents[1] / "blender/play.py"
PYTHON = os.environ.get("LAMP_FAST_BPY", sys.executable)
PICTURES = os.environ.get("LAMP_FAST_PICTURES")


@pytest.fixture(scope="module", autouse=True)
def bpy():
    if subprocess.run([PYTHON, "-c", "import bpy"], capture_output=True).returncode:
        pytest.skip("Blender's bpy is absent: pip install bpy in a Python that it supports, LAMP_FAST_BPY=that Python")


def blender(*arguments) -> None:
    result = subprocess.run([PYTHON, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr + result.stdout


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A figure that swings every joint and turns all the way round while it walks."""
    time = np.linspace(0, 2 * np.pi, 41)[:, None, None]
    swing = np.random.default_rng(0).normal(size=(2, 22, 3)) * 0.3
    turns = np.sin(time) * swing[0] + np.cos(time) * swing[1]
    turns[:, 0] = [0, 1, 0] * time[:, 0]
    root = np.concatenate([0 * time[:, 0], 0.9 + 0 * time[:, 0], 0.2 * time[:, 0]], axis=1)
    bones = np.linalg.norm(HUMANML3D.offsets, axis=1, keepdims=True) * np.array(HUMANML3D.t_pose)
    joints = forward_kinematics(expmap_to_quaternion(turns), root, bones, HUMANML3D)
    return Clip(joints, HUMANML3D, 20.0, np.zeros((41, 4), bool), ["a figure"] * 41)


def in_blender(joints: np.ndarray) -> np.ndarray:
    """Z up, facing -Y."""
    return joints[..., [0, 2, 1]] * [1, -1, 1]


def test_the_same_joints(clip, tmp_path):
    files = [tmp_path / name for name in ("m.bvh", "m.glb", "rooted.bvh", "rooted.glb")]
    for file in files:
        save(clip, file, root_joint="rooted" in file.name)
    blender(tmp_path / "played.npz", *files)
    with np.load(tmp_path / "played.npz") as played:
        for file in files:
            names = played[f"{file.name}.joints"].tolist()
            joints = played[file.name][:, [names.index(name) for name in HUMANML3D.joint_names]]
            assert joints.shape == clip.joints.shape, file.name
            # Metres: BVH has five decimals of a centimetre and of a degree.
            assert np.linalg.norm(joints - in_blender(clip.joints), axis=-1).max() < 1e-3, file.name


def test_a_character_of_another_maker(clip, tmp_path):
    as_glb(tmp_path / "hero.glb", MIXAMO)
    target = read_target(tmp_path / "hero.glb")
    save_retargeted(clip, tmp_path / "walk.glb", target)
    blender(tmp_path / "played.npz", tmp_path / "walk.glb")
    expected = retarget(clip, target)
    with np.load(tmp_path / "played.npz") as played:
        names = played["walk.glb.joints"].tolist()
        kept = [name for name in expected.names if name in names]
        assert len(kept) >= 22
        joints = played["walk.glb"][:, [names.index(name) for name in kept]]
        ours = expected.joints[:, [expected.names.index(name) for name in kept]]
        assert np.linalg.norm(joints - in_blender(ours), axis=-1).max() < 1e-3


def test_blender_shows_a_figure(clip, tmp_path):
    from PIL import Image

    save(clip, tmp_path / "m.glb")
    picture = Path(PICTURES or tmp_path) / "blender.png"
    blender("--picture", picture, tmp_path / "m.glb")
    with Image.open(picture) as image:
        seen = np.asarray(image.convert("RGB")).astype(int)
    coloured = np.ptp(seen, axis=-1) > 40
    rows = np.flatnonzero(coloured.any(axis=1))
    assert coloured.sum() > 300 and np.ptp(rows) > 100
