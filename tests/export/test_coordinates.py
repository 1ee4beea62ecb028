"""Axes: known directions land where each program has them, and positions and rotations tell the same pose."""

import csv

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.export.coordinates import COORDINATES, find_coordinates
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.heading import turned
from lamp_fast.motion.kinematics import forward_kinematics
from lamp_fast.motion.skeleton import HUMANML3D

# up, forward, the character's left, of what is one metre long
WHERE = {
    "gltf": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "unity": ((0, 1, 0), (0, 0, 1), (-1, 0, 0)),
    "unreal": ((0, 0, 100), (0, 100, 0), (100, 0, 0)),
    "blender": ((0, 0, 1), (0, -1, 0), (1, 0, 0)),
}


def clip(frames=7, seed=0):
    rng = np.random.default_rng(seed)
    joints = np.zeros((frames, 22, 3))
    for parent, joint in HUMANML3D.bones:
        bone = np.array(HUMANML3D.t_pose[joint]) + 0.3 * rng.normal(size=3)
        joints[:, joint] = joints[:, parent] + 0.2 * bone
    yaw = np.linspace(0, 4, frames)
    joints = turned(joints, yaw[:, None]) + np.stack([yaw, 0.9 + 0 * yaw, 2 * yaw], axis=1)[:, None]
    return Clip(joints, HUMANML3D, 20.0, np.zeros((frames, 4), bool), [""] * frames)


@pytest.mark.parametrize("name", COORDINATES)
def test_directions(name):
    space = find_coordinates(name)
    for ours, theirs in zip(((0, 1, 0), (0, 0, 1), (1, 0, 0)), WHERE[name]):
        np.testing.assert_allclose(space.positions(np.array(ours)), theirs)


def matrix(q):
    w, x, y, z = q
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


@pytest.mark.parametrize("name", COORDINATES)
def test_rotations_go_with_positions(name):
    """A vector turned and then converted is the converted vector turned by the converted rotation."""
    space, rng = find_coordinates(name), np.random.default_rng(1)
    q = rng.normal(size=4)
    q /= np.linalg.norm(q)
    v = rng.normal(size=3)
    np.testing.assert_allclose(matrix(space.quaternions(q)) @ space.positions(v), space.positions(matrix(q) @ v))


@pytest.mark.parametrize("name", COORDINATES)
def test_arrays_tell_one_pose(name, tmp_path):
    save(clip(), tmp_path / "m.npz", coordinates=name)
    with np.load(tmp_path / "m.npz") as arrays:
        back = forward_kinematics(arrays["rotations"], arrays["root"], arrays["offsets"], HUMANML3D)
        units = find_coordinates(name).units
        np.testing.assert_allclose(back, arrays["joints"], atol=1e-5 * units)
        np.testing.assert_allclose(arrays["joints"], find_coordinates(name).positions(clip().joints), atol=1e-5 * units)
        assert arrays["coordinates"] == name and "seed" not in arrays


@pytest.mark.parametrize("name", COORDINATES)
def test_trajectory(name, tmp_path):
    save(clip(), tmp_path / "m.csv", coordinates=name)
    with open(tmp_path / "m.csv") as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    space = find_coordinates(name)
    start, end = np.array([[row[k] for k in "xyz"] for row in rows])[[0, -1]]
    np.testing.assert_allclose(end - start, space.positions(np.array([4, 0, 8])), atol=1e-3)
    assert rows[-1]["yaw"] - rows[0]["yaw"] == pytest.approx(np.degrees(4), abs=0.01)
    assert rows[-1]["seconds"] == pytest.approx(0.3)
    turn = np.array([rows[-1][f"q{k}"] for k in "wxyz"])
    forward = matrix(turn) @ space.positions(np.array([0, 0, 1.0]))
    yaw = np.radians(rows[-1]["yaw"])
    np.testing.assert_allclose(forward, space.positions(np.array([np.sin(yaw), 0, np.cos(yaw)])), atol=1e-3)


def test_unknown_coordinates():
    with pytest.raises(LampError, match="unity"):
        find_coordinates("godot4")
