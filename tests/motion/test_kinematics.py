"""Rotations of a hierarchy: joints come back, headings only turn the root, nothing flips while people walk."""

import json

import numpy as np
import pytest
import torch

from lamp_fast.errors import LampError
from lamp_fast.motion.features import canonical_joints
from lamp_fast.motion.kinematics import forward_kinematics, local_rotations
from lamp_fast.motion.rotations import qmul, qnormalize, qrot
from lamp_fast.motion.skeleton import HUMANML3D, KIT

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)


def posed_motion(skeleton, motions=(), frames=49, seed=0):
    """Joints of a rigid body in smooth motion: (joints, offsets)."""
    generator = torch.Generator().manual_seed(seed)
    offsets = 0.25 * torch.tensor(skeleton.t_pose)
    swing = 0.35 * torch.randn(*motions, 1, skeleton.num_joints, 3, generator=generator)
    phase = torch.linspace(0, 6, frames)[:, None, None].sin()
    quaternions = qnormalize(torch.cat([torch.ones(*motions, frames, skeleton.num_joints, 1), swing * phase], dim=-1))
    root = torch.randn(*motions, 1, 3, generator=generator) + torch.linspace(0, 2, frames)[:, None]
    return forward_kinematics(quaternions, root, offsets, skeleton)


def heading(degrees):
    half = np.radians(degrees) / 2
    return torch.tensor([np.cos(half), 0, np.sin(half), 0], dtype=torch.float32)


def degrees_per_frame(quaternions):
    cos = (quaternions[1:] * quaternions[:-1]).sum(-1)
    return torch.rad2deg(2 * cos.clamp(-1, 1).acos())


@SKELETONS
@pytest.mark.parametrize("motions", [(), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("frames", [1, 7, 63])
def test_joints_come_back(skeleton, motions, frames):
    joints = posed_motion(skeleton, motions, frames)
    quaternions, offsets = local_rotations(joints, skeleton)
    assert quaternions.shape == (*joints.shape[:-1], 4) and offsets.shape == (*motions, skeleton.num_joints, 3)
    back = forward_kinematics(quaternions, joints[..., 0, :], offsets, skeleton)
    torch.testing.assert_close(back, joints, atol=1e-5, rtol=0)  # float32 over a chain of six bones


@SKELETONS
def test_zero_rotations_are_the_t_pose(skeleton):
    joints = posed_motion(skeleton)
    _, offsets = local_rotations(joints, skeleton)
    torch.testing.assert_close(offsets, 0.25 * torch.tensor(skeleton.t_pose), atol=1e-5, rtol=0)


@pytest.mark.parametrize("turn", range(15, 361, 30))
def test_heading_turns_the_root_only(turn):
    joints = posed_motion(HUMANML3D)
    quaternions, _ = local_rotations(joints, HUMANML3D)
    turned, _ = local_rotations(qrot(heading(turn), joints), HUMANML3D)
    torch.testing.assert_close(turned[:, 1:], quaternions[:, 1:], atol=1e-5, rtol=0)
    expected = qmul(heading(turn), quaternions[:, 0])
    assert (expected * turned[:, 0]).sum(-1).abs().min() > 1 - 1e-6


def test_arms_overhead_do_not_flip():
    """An arm swings from the hip up past the ear and back: its twist stays with the chest."""
    joints = posed_motion(HUMANML3D)[:1].repeat(60, 1, 1)
    shoulder, elbow, wrist = (HUMANML3D.joint_names.index(f"l_{name}") for name in ("shoulder", "elbow", "wrist"))
    angle = torch.linspace(-1.4, 1.9, 60)
    direction = torch.stack([angle.cos(), angle.sin(), torch.zeros(60)], dim=-1)
    joints[:, elbow] = joints[:, shoulder] + 0.25 * direction
    joints[:, wrist] = joints[:, elbow] + 0.25 * direction
    quaternions, _ = local_rotations(joints, HUMANML3D)
    assert degrees_per_frame(quaternions).max() < 10  # the swing itself is 3.2


def test_walking_does_not_flip(shared_data):
    lines = map(json.loads, (shared_data / "clips.jsonl").read_text().splitlines())
    walks = [clip["id"] for clip in lines if clip.get("content") == "walk"][:40:4]
    archive = np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz")
    assert walks
    for name in walks:
        joints = canonical_joints(archive[name].astype(np.float32) / 1000, HUMANML3D)
        quaternions, offsets = map(torch.from_numpy, local_rotations(joints, HUMANML3D))
        assert degrees_per_frame(quaternions).max() < 60, name
        back = forward_kinematics(quaternions, torch.from_numpy(joints[:, 0]), offsets, HUMANML3D)
        assert (back - torch.from_numpy(joints)).norm(dim=-1).max() < 0.01, name


def test_numpy_in_numpy_out_and_bad_input():
    joints = posed_motion(HUMANML3D).numpy()
    quaternions, offsets = local_rotations(joints, HUMANML3D)
    assert quaternions.dtype == offsets.dtype == np.float32
    joints[3, 4, 1] = np.nan
    with pytest.raises(LampError, match="NaN"):
        local_rotations(joints, HUMANML3D)
    with pytest.raises(LampError, match="21, 3"):
        local_rotations(joints, KIT)
