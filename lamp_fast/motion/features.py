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
import math

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from ..errors import LampError
from .arrays import accepts_numpy, check_features, check_joints
from .rotations import qbetween, qinv, qmul, quaternion_to_cont6d
from .skeleton import Skeleton

FACING_SIGMA = 20
"""Width in frames of the Gaussian that smooths the facing direction."""


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
    return _from_planes(_uniform(_to_planes(joints), skeleton), joints.shape[:-2])


@accepts_numpy
def joints_to_features(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """Features of a motion (released `process_file`).

    joints: (..., T, J, 3) float, metres, Y up, any place and heading, T >= 2. Returns (..., T-1, F) float32. The motion
    is first given the skeleton's bone lengths, set on the floor, and moved so that it starts at the origin, facing +Z.
    Raises `LampError` for NaN, a wrong joint count, fewer than 2 frames, or a bone of zero length.
    """
    joints = check_joints(joints, skeleton.num_joints, min_frames=2)
    planes = _start_at_origin(_uniform(_to_planes(joints), skeleton), skeleton)
    return _from_planes(
        _feature_planes(planes, skeleton), joints.shape[:-3] + (joints.shape[-3] - 1,), skeleton.feature_dim
    )


@accepts_numpy
def canonical_joints(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """The positions that features describe: uniform skeleton, on the floor, starting at the origin and facing +Z.

    joints: (..., T, J, 3) float, metres. Returns (..., T, J, 3) float32. Raises as `joints_to_features`.
    """
    joints = check_joints(joints, skeleton.num_joints)
    return _from_planes(_start_at_origin(_uniform(_to_planes(joints), skeleton), skeleton), joints.shape[:-2])


@accepts_numpy
def root_trajectory(features: Tensor) -> tuple[Tensor, Tensor]:
    """Heading and place of the root in every frame (released `recover_root_rot_pos`).

    features: (..., T, F) float. Returns the yaw quaternion (..., T, 4), which turns world vectors into the facing frame
    (so the character's own rotation is its inverse), and the root position (..., T, 3) in metres. Both start facing +Z
    at x = z = 0.
    """
    half_angle = _integrate(features[..., 0])
    yaw = torch.stack(
        [half_angle.cos(), torch.zeros_like(half_angle), half_angle.sin(), torch.zeros_like(half_angle)], dim=-1
    )
    # The step into frame t was measured in frame t's facing frame.
    step_x, step_z = pad(features[..., :-1, 1:3], (0, 0, 1, 0)).unbind(-1)
    step_x, step_z = _turn(step_x, step_z, (2 * half_angle).cos(), -(2 * half_angle).sin())
    position = torch.stack([step_x.cumsum(-1), features[..., 3], step_z.cumsum(-1)], dim=-1)
    return yaw, position


@accepts_numpy
def features_to_joints(features: Tensor, skeleton: Skeleton) -> Tensor:
    """Joint positions from the position part of features (released `recover_from_ric`).

    features: (..., T, F) float, not normalised. Returns (..., T, J, 3) float32, metres. Raises `LampError` for NaN or a
    wrong width.
    """
    features = check_features(features, skeleton.feature_dim)
    yaw, root = root_trajectory(features)
    local = features[..., feature_slices(skeleton)["positions"]].unflatten(-1, (-1, 3))
    cos, sin = _full_angle(yaw[..., 0], yaw[..., 2])
    x, z = _turn(local[..., 0], local[..., 2], cos[..., None], -sin[..., None])
    joints = torch.stack([x + root[..., None, 0], local[..., 1], z + root[..., None, 2]], dim=-1)
    return torch.cat([root[..., None, :], joints], dim=-2)


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


# Extraction works on planes: (J, 3, M, T) for M motions. Each coordinate of each joint is contiguous in time, so every
# step below is a handful of long vector operations, and the planes of the result are already in the order of a feature
# row.


def _to_planes(joints: Tensor) -> Tensor:
    frames, num_joints = joints.shape[-3:-1]
    return joints.reshape(-1, 3 * num_joints).t().contiguous().view(num_joints, 3, -1, frames)


def _from_planes(planes: Tensor, leading_shape: tuple[int, ...], width: int | None = None) -> Tensor:
    rows = planes.reshape(-1, math.prod(leading_shape)).t().contiguous()
    return rows.view(*leading_shape, width) if width else rows.view(*leading_shape, -1, 3)


def _uniform(planes: Tensor, skeleton: Skeleton) -> Tensor:
    parents = list(skeleton.parents[1:])
    lengths = planes.new_tensor(skeleton.bone_lengths)[1:, None, None]
    bones = planes[1:] - planes[parents]
    source_lengths = bones.square().sum(1).sqrt()
    if not (source_lengths > 0).all():
        raise LampError("joints hold a bone of zero length, whose direction is undefined; repair or drop those frames")
    bones = bones * (lengths / source_lengths)[:, None]

    legs = [joint - 1 for joint in skeleton.leg_joints]
    scale = lengths[legs].sum() / source_lengths[legs, :, 0].sum(0)
    result = [planes[0] * scale[:, None]]
    for (parent, _), bone in zip(skeleton.bones, bones):
        result.append(result[parent] + bone)
    return torch.stack(result)


def _start_at_origin(planes: Tensor, skeleton: Skeleton) -> Tensor:
    # The heading is found in float64 and applied in float32, as in the released code: where a motion starts facing -Z,
    # rounding of this one quaternion turns everything that follows by some microradians.
    right_hip, left_hip, right_shoulder, left_shoulder = planes[list(skeleton.face_joints), :, :, :1].double()
    forward = _forward(right_hip - left_hip + right_shoulder - left_shoulder)
    cos, sin = _full_angle(*_yaw_to_front((forward / forward.norm(dim=0)).to(planes.dtype)))
    x, y, z = planes.unbind(1)
    x, z = _turn(x - x[0, :, :1], z - z[0, :, :1], cos, sin)
    return torch.stack([x, y - y.amin((0, 2), keepdim=True)[0], z], dim=1)


def _forward(across: Tensor) -> Tensor:
    """Direction (x, z) (2, ...) that a body faces whose right side lies along `across` (3, ...): +Y cross across."""
    across = across / across.norm(dim=0)
    return torch.stack([across[2], -across[0]])


def _yaw_to_front(forward: Tensor) -> Tensor:
    """Half-angle (w, y) (2, ...) of the shortest rotation about +Y that turns unit vectors (x, z) (2, ...) to +Z."""
    w, y = forward[1] + forward.norm(dim=0), -forward[0]
    length = (w.square() + y.square()).sqrt()
    backwards = length == 0
    return torch.stack([torch.where(backwards, 0.0, w / length), torch.where(backwards, 1.0, y / length)])


def _full_angle(w: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle whose half has cosine w and sine y."""
    return 1 - 2 * y * y, 2 * w * y


def _turn(x: Tensor, z: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate (x, z) about +Y."""
    return cos * x + sin * z, cos * z - sin * x


def _feature_planes(planes: Tensor, skeleton: Skeleton) -> Tensor:
    motions, frames = planes.shape[2:]
    w, y_half = _facing(planes, skeleton)
    cos, sin = _full_angle(w, y_half)
    x, y, z = planes.unbind(1)
    steps = planes.diff(dim=-1)
    root_x, root_z = _turn(steps[0, 0], steps[0, 2], cos[:, 1:], sin[:, 1:])
    local_x, local_z = _turn(x[1:] - x[0], z[1:] - z[0], cos, sin)
    velocity_x, velocity_z = _turn(steps[:, 0], steps[:, 2], cos[:, :-1], sin[:, :-1])
    feet = [*skeleton.left_foot, *skeleton.right_foot]

    parts = {
        "yaw_velocity": (y_half[:, 1:] * w[:, :-1] - w[:, 1:] * y_half[:, :-1]).clamp(-1, 1).asin()[None],
        "root_velocity": torch.stack([root_x, root_z]),
        "root_height": y[:1, :, :-1],
        "positions": torch.stack([local_x, y[1:], local_z], dim=1)[..., :-1],
        "rotations": _chain_rotations(planes[..., :-1], w[:, :-1], y_half[:, :-1], skeleton),
        "velocities": torch.stack([velocity_x, steps[:, 1], velocity_z], dim=1),
        "contacts": (steps[feet].square().sum(1) < skeleton.foot_threshold).to(planes.dtype),
    }
    return torch.cat([parts[name].reshape(-1, motions, frames - 1) for name in feature_slices(skeleton)])


def _facing(planes: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Half-angle (w, y), each (M, T), that turns each frame's smoothed facing direction to +Z; no turn in frame 0."""
    # The released inverse kinematics takes the hips the other way round, so the shoulders outvote them; kept.
    right_hip, left_hip, right_shoulder, left_shoulder = planes[list(skeleton.face_joints)]
    forward = _smooth(_forward(left_hip - right_hip + right_shoulder - left_shoulder))
    w, y = _yaw_to_front(forward / forward.norm(dim=0))
    return torch.cat([torch.ones_like(w[:, :1]), w[:, 1:]], dim=1), torch.cat(
        [torch.zeros_like(y[:, :1]), y[:, 1:]], dim=1
    )


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian of width `FACING_SIGMA` along the last dim, cut at four sigma, the ends repeated outwards."""
    radius = 4 * FACING_SIGMA
    position = torch.arange(-radius, radius + 1, dtype=torch.float64, device=signal.device)
    weights = torch.exp(-0.5 * (position / FACING_SIGMA) ** 2)
    weights = (weights / weights.sum()).to(signal.dtype)
    lines = pad(signal.reshape(-1, 1, signal.shape[-1]), (radius, radius), mode="replicate")
    return conv1d(lines, weights.view(1, 1, -1)).view_as(signal)


def _chain_rotations(planes: Tensor, yaw_w: Tensor, yaw_y: Tensor, skeleton: Skeleton) -> Tensor:
    """6-d rotation (J-1, 6, M, T) of every joint but the root relative to the previous joint of its chain."""
    raw_offsets = planes.new_tensor(skeleton.raw_offsets)[1:, :, None, None]
    bones = planes[1:] - planes[list(skeleton.parents[1:])]
    zero = torch.zeros_like(yaw_w)
    root = torch.stack([yaw_w, zero, yaw_y, zero])
    rotations = torch.cat([root[None], qbetween(raw_offsets, bones, dim=1)])
    references = rotations[list(skeleton.chain_references[1:])]
    return quaternion_to_cont6d(qmul(qinv(references, dim=1), rotations[1:], dim=1), dim=1)


def _integrate(velocity: Tensor) -> Tensor:
    """Running sum along the last dim that starts at zero: the last value takes no part."""
    return pad(velocity[..., :-1], (1, 0)).cumsum(-1)
