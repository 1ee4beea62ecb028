"""Joints to features and back, against the released code's numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lamp_fast.errors import LampError
from lamp_fast.motion.features import (
    canonical_joints,
    feature_slices,
    features_to_joints,
    features_to_joints_from_rotations,
    foot_contacts,
    joints_to_features,
    mirror_joints,
    root_trajectory,
    uniform_skeleton,
)
from lamp_fast.motion.skeleton import HUMANML3D, KIT

FIXTURES = pytest.mark.parametrize(
    ("fixture", "skeleton"), [("motion_features", HUMANML3D), ("motion_features_kit", KIT)], ids=["humanml3d", "kit"]
)


def open_motion_fixture(golden, fixture, skeleton):
    data = golden(fixture)
    skeleton = replace(
        skeleton.with_offsets(data["target_offsets"].tolist()),
        foot_threshold=data.config["feet_threshold"],
        fps=data.config["fps"],
    )
    return data, skeleton


@FIXTURES
def test_uniform_skeleton_matches_released_code(golden, fixture, skeleton):
    data, skeleton = open_motion_fixture(golden, fixture, skeleton)
    for clip in data.config["clips"]:
        if f"uniform_{clip}" in data.data:
            data.check(f"uniform_{clip}", uniform_skeleton(data[f"joints_{clip}"], skeleton))


@FIXTURES
def test_features_match_released_code(golden, fixture, skeleton):
    data, skeleton = open_motion_fixture(golden, fixture, skeleton)
    contacts = feature_slices(skeleton)["contacts"]
    for clip in data.config["clips"]:
        joints = data[f"joints_{clip}"]
        features = joints_to_features(joints, skeleton)
        data.check(f"features_{clip}", features)
        assert torch.equal(features[:, contacts], data[f"features_{clip}"][:, contacts])
        data.check(f"global_{clip}", canonical_joints(joints, skeleton))


@FIXTURES
def test_joints_match_released_code(golden, fixture, skeleton):
    data, skeleton = open_motion_fixture(golden, fixture, skeleton)
    for clip in data.config["clips"]:
        data.check(f"ric_{clip}", features_to_joints(data[f"features_{clip}"], skeleton))
        data.check(f"rot_{clip}", features_to_joints_from_rotations(data[f"features_{clip}"], skeleton))
    for name in (name for name in data.data if name.startswith("reference_features_")):
        data.check(name.replace("features", "ric"), features_to_joints(data[name], skeleton))
    if "example_features" in data.data:
        data.check("example_rot_joints", features_to_joints_from_rotations(data["example_features"], skeleton))
        data.check("example_joints", features_to_joints(data["example_features"], skeleton))


def walk(motions=(), frames=40, skeleton=HUMANML3D, seed=0):
    """Joints that wander smoothly around a standing pose."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor(skeleton.raw_offsets, dtype=torch.float32) * 0.2
    joints = torch.zeros(*motions, frames, skeleton.num_joints, 3)
    sway = 0.03 * torch.randn(*motions, 1, skeleton.num_joints, 3, generator=generator)
    phase = torch.linspace(0, 3, frames)[:, None, None].sin()
    for parent, joint in skeleton.bones:
        joints[..., joint, :] = joints[..., parent, :] + offsets[joint]
    return joints + sway * phase + torch.tensor([0.01, 0, 0.03]) * torch.arange(frames)[:, None, None]


def test_numpy_in_numpy_out():
    joints = walk()
    features = joints_to_features(joints.numpy(), HUMANML3D)
    assert isinstance(features, np.ndarray) and features.dtype == np.float32
    assert np.array_equal(features, joints_to_features(joints, HUMANML3D).numpy())
    assert isinstance(features_to_joints(features, HUMANML3D), np.ndarray)
    assert all(isinstance(part, np.ndarray) for part in root_trajectory(features))
    assert foot_contacts(features).shape == (39, 4)


@pytest.mark.parametrize("motions", [(1,), (7,), (3, 2)], ids=str)
def test_batch_equals_each_motion_alone(motions):
    joints = walk(motions)
    features = joints_to_features(joints, HUMANML3D)
    back = features_to_joints(features, HUMANML3D)
    assert features.shape == (*motions, 39, 263) and back.shape == (*motions, 39, 22, 3)
    for one, row, restored in zip(joints.flatten(0, -4), features.flatten(0, -3), back.flatten(0, -4)):
        # float32: the order of sums may differ with the shape
        torch.testing.assert_close(joints_to_features(one, HUMANML3D), row, atol=1e-6, rtol=0)
        torch.testing.assert_close(features_to_joints(row, HUMANML3D), restored, atol=1e-6, rtol=0)


def test_round_trip_returns_canonical_joints():
    joints = walk(frames=63)
    back = features_to_joints(joints_to_features(joints, HUMANML3D), HUMANML3D)
    torch.testing.assert_close(back, canonical_joints(joints, HUMANML3D)[:-1], atol=1e-5, rtol=0)


def test_mirror_twice_is_identity_and_swaps_sides():
    joints = walk()
    mirrored = mirror_joints(joints, HUMANML3D)
    assert torch.equal(mirror_joints(mirrored, HUMANML3D), joints)
    left, right = HUMANML3D.joint_names.index("l_wrist"), HUMANML3D.joint_names.index("r_wrist")
    assert torch.equal(mirrored[:, left], joints[:, right] * torch.tensor([-1.0, 1, 1]))


def _with_nan(joints):
    joints = joints.clone()
    joints[3, 4, 1] = float("nan")
    return joints


@pytest.mark.parametrize(
    ("joints", "sentence"),
    [
        (_with_nan(walk()), "NaN"),
        (walk()[:, :21], "expected \\(..., frames, 22, 3\\)"),
        (walk()[:1], "at least 2 frame"),
        (walk()[:0], "at least 2 frame"),
        (walk()[None, :, :, :][:0], "at least 2 frame"),
        (walk().int(), "floating point"),
        (torch.zeros(4, 22, 3), "zero length"),
    ],
    ids=["nan", "21-joints", "1-frame", "0-frames", "no-motion", "integers", "zero-bones"],
)
def test_bad_joints_get_a_sentence(joints, sentence):
    with pytest.raises(LampError, match=sentence):
        joints_to_features(joints, HUMANML3D)


def test_kit_needs_a_target_skeleton():
    with pytest.raises(LampError, match="with_offsets"):
        joints_to_features(walk(skeleton=KIT), KIT)
