"""The file is read back by a parser and a forward kinematics of its own, written from the format's description."""

import re

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export.bvh import write_bvh
from lamp_fast.motion.animation import Animation, animate, euler_orders
from lamp_fast.motion.features import uniform_skeleton
from lamp_fast.motion.skeleton import HUMANML3D, KIT

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)


def read_bvh(path):
    """-> joint names, world positions (T, J, 3) in metres, seconds per frame, angles in degrees (T, 3J)."""
    header, motion = path.read_text().split("MOTION")
    names, offsets, channels, parents, stack, end_site = [], [], [], [], [], False
    for line in header.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("ROOT", "JOINT"):
            names.append(words[1])
            parents.append(stack[-1] if stack else -1)
        elif words[0] == "End":
            end_site = True
        elif words[0] == "{":
            stack.append(len(names) - 1)
        elif words[0] == "}":
            stack.pop()
            end_site = False
        elif words[0] == "OFFSET" and not end_site:
            offsets.append([float(w) for w in words[1:]])
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words[2:])
            channels.append(words[2:])
    frames, seconds = re.search(r"Frames: (\d+)\s+Frame Time: (\S+)", motion).groups()
    values = np.array([line.split() for line in motion.strip().splitlines()[2:]], dtype=float)
    assert values.shape == (int(frames), sum(map(len, channels)))

    position, rotation, column, angles = [], [], 0, []
    for joint, parent in enumerate(parents):
        place = np.tile(offsets[joint], (len(values), 1))
        turn = np.tile(np.eye(3), (len(values), 1, 1))
        for channel in channels[joint]:
            axis = "XYZ".index(channel[0])
            if channel.endswith("position"):
                place[:, axis] += values[:, column]
            else:
                turn = turn @ about(axis, np.radians(values[:, column]))
                angles.append(values[:, column])
            column += 1
        if parent >= 0:
            place = position[parent] + np.einsum("tij,tj->ti", rotation[parent], place)
            turn = rotation[parent] @ turn
        position.append(place)
        rotation.append(turn)
    return names, np.stack(position, 1) / 100, float(seconds), np.stack(angles, 1)


def about(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, axis, axis] = 1
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, j, j], matrix[:, j, k], matrix[:, k, j], matrix[:, k, k] = c, -s, s, c
    return matrix


def matrix(q):
    """Rodrigues: exp of the cross-product matrix."""
    angle = 2 * np.arctan2(np.linalg.norm(q[1:]), q[0])
    x, y, z = q[1:] / max(np.linalg.norm(q[1:]), 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def joints_of(rotations, root, offsets, skeleton):
    joints = np.zeros((len(root), skeleton.num_joints, 3))
    for t in range(len(root)):
        turns = {0: matrix(rotations[t, 0])}
        joints[t, 0] = root[t]
        for parent, child in skeleton.bones:
            joints[t, child] = joints[t, parent] + turns[parent] @ offsets[child]
            turns[child] = turns[parent] @ matrix(rotations[t, child])
    return joints


def random_motion(skeleton, frames, seed=0):
    rng = np.random.default_rng(seed)
    rotations = rng.normal(size=(frames, skeleton.num_joints, 4))
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    return rotations, rng.normal(size=(frames, 3)), 0.2 * np.array(skeleton.t_pose)


def animation(rotations, root, offsets, skeleton=HUMANML3D, fps=20.0, orders=None):
    names = skeleton.joint_names
    return Animation(names, skeleton.parents, offsets, rotations, root, fps, orders or euler_orders(names))


@SKELETONS
@pytest.mark.parametrize("frames", [1, 7, 63])
def test_joints_come_back(skeleton, frames, tmp_path):
    rotations, root, offsets = random_motion(skeleton, frames)
    write_bvh(tmp_path / "m.bvh", animation(rotations, root, offsets, skeleton, skeleton.fps))
    names, joints, seconds, _ = read_bvh(tmp_path / "m.bvh")
    expected = joints_of(rotations, root, offsets, skeleton)
    order = [names.index(name) for name in skeleton.joint_names]
    # 5 decimals of a centimetre and of a degree, over 6 bones: well below a hundredth of a millimetre.
    np.testing.assert_allclose(joints[:, order], expected, atol=1e-5)
    assert seconds == pytest.approx(1 / skeleton.fps, abs=1e-6)


def test_captured_motion_comes_back_within_a_millimetre(shared_data, tmp_path):
    """From joints, through `motion.kinematics`, to the file and back; turned to face every way."""
    with np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz") as clips:
        joints = uniform_skeleton(clips["bn_1_run_active_001"].astype(np.float32) / 1000, HUMANML3D)
    for heading in np.radians([0, 90, 180, 270, 33]):
        turned = (joints @ about(1, np.array([heading]))[0].T).astype(np.float32)
        write_bvh(tmp_path / "m.bvh", animate(turned, HUMANML3D, 20))
        names, read, _, angles = read_bvh(tmp_path / "m.bvh")
        error = np.linalg.norm(read[:, [names.index(name) for name in HUMANML3D.joint_names]] - turned, axis=-1)
        assert error.max() < 1e-4  # metres
        assert np.abs(np.diff(angles, axis=0)).max() < 90


@SKELETONS
def test_zero_is_a_t_pose(skeleton, tmp_path):
    """With every channel zero, arms lie on X, the spine on Y, and nothing bends."""
    offsets = 0.2 * np.array(skeleton.t_pose)
    still = np.tile([1.0, 0, 0, 0], (1, skeleton.num_joints, 1))
    write_bvh(tmp_path / "m.bvh", animation(still, np.zeros((1, 3)), offsets, skeleton))
    zeros = " ".join("0" for _ in range(3 + 3 * len(offsets)))
    text = (tmp_path / "m.bvh").read_text()
    (tmp_path / "zero.bvh").write_text(re.sub(r"(Frame Time.*\n).*", lambda match: match[1] + zeros, text))
    names, joints, _, _ = read_bvh(tmp_path / "zero.bvh")
    at = dict(zip(names, joints[0], strict=True))
    for side in "lr":
        arm = at[f"{side}_wrist"] - at[f"{side}_shoulder"]
        assert abs(arm[0]) > 0.35 and np.allclose(arm[1:], 0, atol=1e-5)
        assert at[f"{side}_ankle"][1] < -0.35
    assert at["head"][1] > 0.3 and np.allclose(at["head"][[0, 2]], 0, atol=1e-5)


def test_turning_through_a_full_circle_has_no_jump(tmp_path):
    """A character that turns right round twice: curves stay smooth, so tools may interpolate between frames."""
    frames = 120
    yaw = np.linspace(0, 4 * np.pi, frames)
    rotations, _, offsets = random_motion(HUMANML3D, 1)
    small = 0.15 * rotations + [1, 0, 0, 0]
    rotations = np.tile(small / np.linalg.norm(small, axis=-1, keepdims=True), (frames, 1, 1))
    rotations[:, 0] = np.stack([np.cos(yaw / 2), 0 * yaw, np.sin(yaw / 2), 0 * yaw], 1)
    write_bvh(tmp_path / "m.bvh", animation(rotations, np.zeros((frames, 3)), offsets))
    angles = read_bvh(tmp_path / "m.bvh")[3]
    assert np.abs(np.diff(angles, axis=0)).max() < 10  # degrees a frame; the turn itself is 6
    assert (angles[-1] - angles[0])[:3].max() == pytest.approx(720, abs=1)


@pytest.mark.parametrize("axis", ["Y", "X"])
def test_gimbal_lock_is_exact(axis, tmp_path):
    """A quarter turn about the middle axis of either order leaves two rotations about one line."""
    rotations, root, offsets = random_motion(HUMANML3D, 3)
    half = np.sqrt(0.5)
    rotations[:] = [half, 0, half, 0] if axis == "Y" else [half, half, 0, 0]
    write_bvh(tmp_path / "m.bvh", animation(rotations, root, offsets))
    names, joints, _, _ = read_bvh(tmp_path / "m.bvh")
    reorder = [names.index(name) for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(joints[:, reorder], joints_of(rotations, root, offsets, HUMANML3D), atol=1e-5)


@pytest.mark.parametrize("what", ["rotations", "root", "offsets"])
def test_nan_is_refused_and_nothing_is_left(what, tmp_path):
    motion = dict(zip(("rotations", "root", "offsets"), random_motion(HUMANML3D, 3), strict=True))
    motion[what].flat[5] = np.nan
    with pytest.raises(LampError, match=what):
        write_bvh(tmp_path / "m.bvh", animation(**motion))
    assert list(tmp_path.iterdir()) == []


def test_wrong_skeleton_is_refused(tmp_path):
    with pytest.raises(LampError, match="expected"):
        write_bvh(tmp_path / "m.bvh", animation(*random_motion(HUMANML3D, 3), skeleton=KIT))


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_channels_stand_in_the_order_that_is_asked_for(order, tmp_path):
    motion = random_motion(HUMANML3D, 7)
    write_bvh(tmp_path / "m.bvh", animation(*motion, orders=(order,) * 22))
    names, joints, _, _ = read_bvh(tmp_path / "m.bvh")
    rotations = " ".join(f"{axis}rotation" for axis in order)
    assert (tmp_path / "m.bvh").read_text().count(rotations) == 22
    reorder = [names.index(name) for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(joints[:, reorder], joints_of(*motion, HUMANML3D), atol=1e-5)
