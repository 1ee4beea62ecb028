"""HumanML3D's motion representation: joint positions to features and back (263 values a frame, KIT-ML 251).

One row of features, for J joints, in this order (`feature_slices` names the parts):

| part | values | what |
|---|---|---|
| yaw_velocity | 1 | half the angle the character turns about +Y in one frame, radians |
| root_velocity | 2 | x and z the root moves in one frame, metres, in the next frame's facing frame |
| root_height | 1 | root height over the floor, metres |
| positions | 3 (J-1) | joints but the root, metres, relative to the root's ground point, facing +Z |
| rotations | 6 (J-1) | first two columns of each joint's rotation matrix relative to the previous joint of its chain |
| velocities | 3 J | what every joint moves in one frame, metres, in this frame's facing frame |
| contacts | 4 | 1 while left ankle, left toe, right ankle, right toe stand still, else 0 |

Source: released `motion_representation.ipynb` and `common/skeleton.py` of HumanML3D. Its behaviour is kept, slips
included: T frames give T-1 rows, the facing direction is smoothed over time, and the first frame's facing counts as +Z
exactly.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..kernels.recover_joints import joints_of_features, root_path, turn
from .arrays import accepts_numpy, check_features, check_joints, from_components, to_components
from .chains import (
    along_chains,
    bone_rotations,
    chain_forward_kinematics,
    chain_rotations,
    facing,
    facing_yaw,
    place_bones,
    quaternion_of_yaw,
    yaw_to_front,
)
from .components import Components, dot, qinv, qmul, quaternion_to_cont6d
from .rotations import cont6d_to_quaternion
from .skeleton import Skeleton

FRAMES_AT_ONCE = 6400
"""Motions are taken in groups of about this many frames, so that what is computed on stays in the processor's cache."""


@functools.cache
def feature_slices(skeleton: Skeleton) -> dict[str, slice]:
    """Where each part of a feature row lies, by the names of the table above."""
    bones = skeleton.num_joints - 1
    sizes = {
        "yaw_velocity": 1,
        "root_velocity": 2,
        "root_height": 1,
        "positions": 3 * bones,
        "rotations": 6 * bones,
        "velocities": 3 * skeleton.num_joints,
        "contacts": 4,
    }
    slices, start = {}, 0
    for name, size in sizes.items():
        slices[name] = slice(start, start + size)
        start += size
    return slices


@accepts_numpy
def uniform_skeleton(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """Give a motion the skeleton's bone lengths: every bone keeps its direction, the root's path scales with the legs.

    joints: (..., T, J, 3) float, metres. Returns (..., T, J, 3) float32. The released code reaches the same positions
    by inverse and forward kinematics. Raises `LampError` for NaN, a wrong joint count, or a bone of zero length.
    """
    joints = check_joints(joints, skeleton.num_joints)
    return from_components(_uniform(to_components(joints), skeleton), joints.shape[:-2]).float()


@accepts_numpy
def joints_to_features(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """Features of a motion (released `process_file`).

    joints: (..., T, J, 3) float, metres, Y up, any place and heading, T >= 2. Returns (..., T-1, F) float32. The motion
    is first given the skeleton's bone lengths, set on the floor, and moved so that it starts at the origin, facing +Z.
    Raises `LampError` for NaN, a wrong joint count, fewer than 2 frames, or a bone of zero length.
    """
    joints = check_joints(joints, skeleton.num_joints, min_frames=2)
    frames = joints.shape[-3]
    features = joints.new_empty(joints.shape[:-3].numel(), frames - 1, skeleton.feature_dim)
    motions = max(1, FRAMES_AT_ONCE // frames)
    for some, result in zip(joints.reshape(-1, *joints.shape[-3:]).split(motions), features.split(motions)):
        rows = _feature_rows(_start_at_origin(_uniform(to_components(some), skeleton), skeleton), skeleton)
        result.flatten(0, 1).copy_(rows.flatten(1).t())
    return features.view(*joints.shape[:-3], *features.shape[1:])


@accepts_numpy
def canonical_joints(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """The positions that features describe: uniform skeleton, on the floor, starting at the origin and facing +Z.

    joints: (..., T, J, 3) float, metres. Returns (..., T, J, 3) float32. Raises as `joints_to_features`.
    """
    joints = check_joints(joints, skeleton.num_joints)
    return from_components(_start_at_origin(_uniform(to_components(joints), skeleton), skeleton), joints.shape[:-2])


@accepts_numpy
def root_trajectory(features: Tensor) -> tuple[Tensor, Tensor]:
    """Heading and place of the root in every frame (released `recover_root_rot_pos`).

    features: (..., T, F) float. Returns the yaw quaternion (..., T, 4), which turns world vectors into the facing frame
    (so the character's own rotation is its inverse), and the root position (..., T, 3) in metres. Both start facing +Z
    at x = z = 0.
    """
    half_angle, root = root_path(features)
    w, y = half_angle.cos(), half_angle.sin()
    return torch.stack([w, torch.zeros_like(w), y, torch.zeros_like(w)], dim=-1), root


@accepts_numpy
def features_to_joints(features: Tensor, skeleton: Skeleton) -> Tensor:
    """Joint positions from the position part of features (released `recover_from_ric`).

    features: (..., T, F) float, not normalised. Returns (..., T, J, 3) float32, metres. Raises `LampError` for NaN or a
    wrong width.
    """
    return joints_of_features(check_features(features, skeleton.feature_dim))


@accepts_numpy
def features_to_joints_from_rotations(features: Tensor, skeleton: Skeleton) -> Tensor:
    """Joint positions from the rotation part of features, with the skeleton's bones (released `recover_from_rot`).

    features: (..., T, F) float, not normalised. Returns (..., T, J, 3) float32, metres. Raises `LampError` for NaN or a
    wrong width.
    """
    features = check_features(features, skeleton.feature_dim)
    yaw, root = root_trajectory(features)
    local = cont6d_to_quaternion(features[..., feature_slices(skeleton)["rotations"]].unflatten(-1, (-1, 6)))
    return chain_forward_kinematics(torch.cat([yaw[..., None, :], local], dim=-2), root, skeleton)


@accepts_numpy
def foot_contacts(features: Tensor) -> Tensor:
    """Which foot joints stand still: (..., T, F) features to (..., T, 4) bool: left ankle, toe, right ankle, toe."""
    return features[..., -4:] > 0.5


@accepts_numpy
def mirror_joints(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """The same motion seen in a mirror: x changes sign and left joints trade places with right ones.

    joints: (..., T, J, 3) float, metres. Returns (..., T, J, 3) float32. Raises `LampError` for NaN or a wrong joint
    count.
    """
    joints = check_joints(joints, skeleton.num_joints)
    return joints[..., list(skeleton.mirrored_joints), :] * joints.new_tensor([-1.0, 1.0, 1.0])


def _uniform(positions: Components, skeleton: Skeleton) -> Components:
    """Joints (J, M, T) given the skeleton's bones: float64, in which the released code adds bone to bone."""
    offsets = positions[0].new_tensor(skeleton.target_offsets)
    legs, above = list(skeleton.leg_joints), [skeleton.parents[joint] for joint in skeleton.leg_joints]
    leg_bones = torch.stack([c[legs, :, 0] - c[above, :, 0] for c in positions], dim=-1)
    scale = offsets[legs].abs().amax(1).sum() / leg_bones.norm(dim=-1).sum(0)

    def advance(before: Components, turned: Components) -> Components:
        # `turned` again, but for the rounding of the released code, which goes by way of the local rotation.
        return qmul(before, qmul(qinv(before), turned))

    root = quaternion_of_yaw(facing_yaw(positions, skeleton, smooth=False))
    world = along_chains(advance, root, bone_rotations(positions, skeleton), skeleton)
    return place_bones(world, [c[:1] * scale[:, None] for c in positions], offsets, skeleton)


def _start_at_origin(positions: Components, skeleton: Skeleton) -> Components:
    """Float64 joints (J, M, T) put on the floor, at the origin and facing +Z in their first frame, float32."""
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    first = [c[:, :, :1] for c in positions]
    across = [c[right_hip] - c[left_hip] + (c[right_shoulder] - c[left_shoulder]) for c in first]
    w, y = yaw_to_front(facing(across), torch.float32)
    floor = positions[1].amin(-1, keepdim=True).amin(0)
    x, height, z = ((c - start).float() for c, start in zip(positions, (first[0][0], floor, first[2][0])))
    x, z = turn(w, y, x, z)
    return [x, height, z]


def _feature_rows(positions: Components, skeleton: Skeleton) -> Tensor:
    """Features (F, M, T-1) of joints (J, M, T) that start at the origin."""
    yaw = facing_yaw(positions, skeleton, smooth=True)
    now, after = [c[:, :-1] for c in yaw], [c[:, 1:] for c in yaw]
    poses = [c[..., :-1] for c in positions]
    steps = [c.diff(dim=-1) for c in positions]
    rotations = chain_rotations(bone_rotations(poses, skeleton), quaternion_of_yaw(now), skeleton)

    x, height, z = poses
    x, z = turn(*now, x[1:] - x[0], z[1:] - z[0])
    step_x, rise, step_z = steps
    velocity_x, velocity_z = turn(*now, step_x, step_z)
    feet = [*skeleton.left_foot, *skeleton.right_foot]
    foot_steps = [c[feet] for c in steps]
    parts = {
        "yaw_velocity": [(after[1] * now[0] - after[0] * now[1]).clamp(-1, 1).asin()],
        "root_velocity": turn(*after, step_x[0], step_z[0]),
        "root_height": [height[0]],
        "positions": [x, height[1:], z],
        "rotations": quaternion_to_cont6d(rotations),
        "velocities": [velocity_x, rise, velocity_z],
        "contacts": [dot(foot_steps, foot_steps) < skeleton.foot_threshold],
    }
    rows = x.new_empty(skeleton.feature_dim, *x.shape[1:])
    for name, part in feature_slices(skeleton).items():
        per_joint = rows[part].unflatten(0, (-1, len(parts[name])))
        for i, component in enumerate(parts[name]):
            per_joint[:, i] = component
    return rows
