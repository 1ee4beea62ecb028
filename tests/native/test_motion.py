"""Motion in the C++ core against the same in Python."""

import numpy as np
import pytest

from lamp_fast.export.coordinates import COORDINATES
from lamp_fast.motion.features import features_to_joints, joints_to_features
from lamp_fast.motion.kinematics import forward_kinematics, hierarchy_with_bases, local_rotations, plain_hierarchy
from lamp_fast.motion.skeleton import HUMANML3D, KIT

native = pytest.importorskip("lamp_fast._native", reason="the C++ module is not built")

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
FRAMES = pytest.mark.parametrize("frames", [1, 7, 49])


def features(frames, skeleton, seed=0):
    """A character that turns and walks, its joints moving smoothly about a T-pose."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None]
    pose = np.zeros((frames, skeleton.num_joints, 3))
    lengths = np.linalg.norm(native.standard_rest(skeleton.num_joints, False), axis=1)
    for parent, joint in skeleton.bones:
        wave = 0.7 * np.sin(t * rng.uniform(0.05, 0.3, 3) + rng.uniform(0, 6, 3))
        bone = np.array(skeleton.t_pose[joint]) + wave
        pose[:, joint] = pose[:, parent] + lengths[joint] * bone / np.linalg.norm(bone, axis=1, keepdims=True)
    rows = np.zeros((frames, skeleton.feature_dim), np.float32)
    rows[:, 0] = rng.normal(0.05, 0.02, frames)
    rows[:, 1:3] = rng.normal(0.03, 0.02, (frames, 2))
    rows[:, 3] = 0.9
    rows[:, 4 : 4 + 3 * (skeleton.num_joints - 1)] = (pose[:, 1:] + [0, 0.9, 0]).reshape(frames, -1)
    return rows


@SKELETONS
@FRAMES
def test_joints_of_features(skeleton, frames):
    rows = features(frames, skeleton)
    np.testing.assert_allclose(native.features_to_joints(rows), features_to_joints(rows, skeleton), atol=2e-6)


@pytest.mark.parametrize("frames", [2, 7, 49, 300])
def test_features_of_joints(frames):
    joints = np.asarray(features_to_joints(features(frames, HUMANML3D), HUMANML3D))
    turn = np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]], np.float32)
    joints = joints @ turn.T + np.float32([3, 0.2, -2])
    # Float32 against float64, where bones that point against their rest direction lose digits.
    np.testing.assert_allclose(native.joints_to_features(joints), joints_to_features(joints, HUMANML3D), atol=2e-4)


def test_features_of_captured_joints(golden):
    data = golden("motion_features")
    skeleton = HUMANML3D.with_offsets(data["target_offsets"].tolist())
    if not np.allclose(skeleton.target_offsets, HUMANML3D.target_offsets, atol=1e-6):
        pytest.skip("the fixture has another target skeleton")
    for clip in data.config["clips"]:
        found, expected = native.joints_to_features(data[f"joints_{clip}"].numpy()), data[f"features_{clip}"].numpy()
        assert np.abs(found - expected).max() < 2e-3 and np.abs(found - expected).mean() < 1e-5


@SKELETONS
@FRAMES
@pytest.mark.parametrize("bases", [True, False])
@pytest.mark.parametrize("upside_down", [False, True])
def test_rotations(skeleton, frames, bases, upside_down):
    hierarchy = hierarchy_with_bases(skeleton) if bases else plain_hierarchy(skeleton)
    names, parents, joints_of_nodes = native.hierarchy(skeleton.num_joints, bases)
    assert (names, parents, joints_of_nodes) == (hierarchy.names, hierarchy.parents, hierarchy.joints)
    joints = np.asarray(features_to_joints(features(frames, skeleton), skeleton))
    if upside_down:
        joints = joints * np.float32([1, -1, -1])
    rotations, offsets = native.local_rotations(joints, bases)
    expected, expected_offsets = local_rotations(joints, skeleton, hierarchy)
    np.testing.assert_allclose(offsets, expected_offsets, atol=1e-6)
    np.testing.assert_allclose((rotations * expected).sum(-1), 1, atol=1e-6)  # the same sign, too


@pytest.mark.parametrize("name", COORDINATES)
def test_coordinates(name):
    values = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    space = COORDINATES[name]
    np.testing.assert_allclose(native.positions_in(name, values[:, :3]), space.positions(values[:, :3]), rtol=1e-6)
    np.testing.assert_allclose(native.rotations_in(name, values), space.quaternions(values), rtol=1e-6)


@pytest.mark.parametrize("name", COORDINATES)
@SKELETONS
def test_a_stream_plays_the_motion(skeleton, name):
    rows = features(28, skeleton)
    stream = native.Stream(features=skeleton.feature_dim, coordinates=name)
    stream.append(np.arange(7), rows)
    joints = np.asarray(features_to_joints(rows, skeleton))
    hierarchy = hierarchy_with_bases(skeleton)
    space = COORDINATES[name]
    for t in range(28):
        pose = stream.sample(t / skeleton.fps)
        assert pose["plays"] and abs(pose["frame"] - t) < 1e-6
        expected = space.positions(joints[t, list(hierarchy.joints)])
        np.testing.assert_allclose(pose["positions"], expected, atol=1e-5 * space.units)
        # What a program computes from the rotations, in its own axes.
        offsets = space.positions(native.standard_rest(skeleton.num_joints))
        rotations = pose["rotations"][None, :, [3, 0, 1, 2]].astype(np.float64)
        moved = forward_kinematics(rotations, expected[None, 0], offsets, hierarchy)
        np.testing.assert_allclose(moved[0], expected, atol=2e-5 * space.units)


def test_what_does_not_fit_gets_a_sentence():
    stream = native.Stream(max_tokens=7, frames=32)
    with pytest.raises(ValueError, match="4 N"):
        stream.append(np.arange(7), np.zeros((27, 263)))
    with pytest.raises(ValueError, match="expected 1 to 7"):
        stream.append(np.arange(8), np.zeros((32, 263)))
    with pytest.raises(ValueError, match="NaN"):
        stream.append(np.arange(1), np.full((4, 263), np.nan))
    with pytest.raises(ValueError, match="263"):
        native.features_to_joints(np.zeros((7, 262)))
    with pytest.raises(ValueError, match="22, 3"):
        native.local_rotations(np.zeros((7, 23, 3)))
