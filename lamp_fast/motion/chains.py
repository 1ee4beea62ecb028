"""Kinematics in the convention of HumanML3D's features.

The rotation of joint j turns the bone that ends in j from its raw offset, and is relative to the rotation of the joint
before it in its chain; every chain, the arms' too, starts from the root's rotation. (For a hierarchy as animation tools
know it see `kinematics`.)

Source: released `common/skeleton.py`. Computed on planes (J, 3 or 4, M, T), see `arrays.to_planes`; all chains advance
together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from ..errors import LampError
from .arrays import accepts_numpy, check_joints, from_planes, to_planes
from .rotations import length, qbetween, qinv, qmul, qrot
from .skeleton import Skeleton

FACING_SIGMA = 20
"""Width in frames of the Gaussian that smooths the facing direction."""


@accepts_numpy
def bone_offsets(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """Raw offsets (..., J, 3) stretched to the bones of joints (..., J, 3), metres (released `get_offsets_joints`)."""
    parents = [max(parent, 0) for parent in skeleton.parents]
    lengths = (joints - joints[..., parents, :]).norm(dim=-1, keepdim=True)
    return joints.new_tensor(skeleton.raw_offsets) * lengths


@accepts_numpy
def chain_inverse_kinematics(joints: Tensor, skeleton: Skeleton, smooth_facing: bool = False) -> Tensor:
    """Rotations of a motion (released `inverse_kinematics_np`).

    joints: (..., T, J, 3) float, metres. Returns unit quaternions (..., T, J, 4) float32; the root's turns the facing
    direction to +Z and is the identity in frame 0. With `smooth_facing` that direction is smoothed over time, which
    needs the whole motion. Raises `LampError` for NaN, a wrong joint count, or a bone of zero length.
    """
    joints = check_joints(joints, skeleton.num_joints)
    planes = to_planes(joints)
    local, _ = chain_rotations(planes, facing_yaw(planes, skeleton, smooth_facing), skeleton)
    return from_planes(local, joints.shape[:-2])


@accepts_numpy
def chain_forward_kinematics(
    quaternions: Tensor, root: Tensor, skeleton: Skeleton, offsets: Tensor | None = None, rotate_root: bool = True
) -> Tensor:
    """Joints of chain rotations (released `forward_kinematics`).

    quaternions: (..., T, J, 4) float. root: (..., T, 3) metres. offsets: (J, 3) metres, the skeleton's if not given.
    rotate_root: False leaves the root's rotation out. Returns (..., T, J, 3) of the dtype of the quaternions, metres.
    """
    local = to_planes(quaternions)
    root = root.reshape(-1, root.shape[-2], 3).movedim(-1, 0)
    offsets = quaternions.new_tensor(skeleton.target_offsets) if offsets is None else offsets
    world = torch.empty_like(local)
    world[0] = local[0] if rotate_root else local.new_tensor([1.0, 0.0, 0.0, 0.0])[:, None, None]
    accumulated = world[:1]
    for joints in map(list, skeleton.chain_steps):
        accumulated = qmul(accumulated[: len(joints)], local[joints], dim=1)
        world[joints] = accumulated
    return from_planes(place_bones(world, root, offsets, skeleton), quaternions.shape[:-2]).to(quaternions.dtype)


def facing_yaw(planes: Tensor, skeleton: Skeleton, smooth: bool) -> tuple[Tensor, Tensor]:
    """Parts w and y, each (M, T), of the quaternion that turns where a body faces to +Z; the identity in frame 0."""
    # The released inverse kinematics takes the hips the other way round, so that the shoulders outvote them; kept.
    right_hip, left_hip, right_shoulder, left_shoulder = planes[list(skeleton.face_joints)]
    forward = facing(left_hip - right_hip + (right_shoulder - left_shoulder))
    if smooth:
        forward = _smooth(forward)
    w, y = yaw_to_front(forward, planes.dtype)
    return torch.cat([torch.ones_like(w[:, :1]), w[:, 1:]], dim=1), torch.cat(
        [torch.zeros_like(y[:, :1]), y[:, 1:]], dim=1
    )


def facing(across: Tensor) -> Tensor:
    """Direction (x, z) (2, ...) float64 that a body faces whose right side lies in direction `across` (3, ...)."""
    across = across / length(across.unbind(0))
    return torch.stack([across[2], -across[0]]).double()


def yaw_to_front(forward: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Parts w and y, in the given dtype, of the quaternion that turns horizontal directions (x, z) (2, ...) to +Z."""
    x, z = (forward / forward.norm(dim=0)).to(dtype)
    w = (x * x + z * z).sqrt() + z
    norm = length((w, x))
    backwards = norm == 0
    return torch.where(backwards, 0.0, w / norm), torch.where(backwards, 1.0, -x / norm)


def chain_rotations(planes: Tensor, yaw: tuple[Tensor, Tensor], skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Chain rotations of joint planes (J, 3, M, T) for the root's yaw: local and accumulated, each (J, 4, M, T)."""
    bones = planes[1:] - planes[list(skeleton.parents[1:])]
    lengths = length(bones.unbind(1))
    if not (lengths > 0).all():
        raise LampError("joints hold a bone of zero length, whose direction is undefined; repair or drop those frames")
    raw_offsets = planes.new_tensor(skeleton.raw_offsets)[1:, :, None, None]
    turned = qbetween(raw_offsets, bones / lengths[:, None], dim=1)

    w, y = yaw
    zero = torch.zeros_like(w)
    local = planes.new_empty(len(planes), 4, *w.shape)
    local[0] = torch.stack([w, zero, y, zero])
    world = local.clone()
    accumulated = world[:1]
    for joints in skeleton.chain_steps:
        before = accumulated[: len(joints)]
        # `accumulated` is `turned` again, but for the rounding of the released code.
        step = qmul(qinv(before, dim=1), turned[[joint - 1 for joint in joints]], dim=1)
        accumulated = qmul(before, step, dim=1)
        local[list(joints)], world[list(joints)] = step, accumulated
    return local, world


def place_bones(world: Tensor, root: Tensor, offsets: Tensor, skeleton: Skeleton) -> Tensor:
    """Joint planes (J, 3, M, T) float64 from accumulated rotations (J, 4, M, T), root (3, M, T) and offsets (J, 3)."""
    bones = qrot(world[1:], offsets[1:, :, None, None], dim=1)
    joints = [root.double()]
    for (parent, _), bone in zip(skeleton.bones, bones):
        joints.append(joints[parent] + bone)
    return torch.stack(joints)


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian of width `FACING_SIGMA` along the last dim, cut at four sigma, the ends repeated outwards."""
    radius = 4 * FACING_SIGMA
    position = torch.arange(-radius, radius + 1, dtype=signal.dtype, device=signal.device)
    weights = torch.exp(-0.5 * (position / FACING_SIGMA) ** 2)
    lines = pad(signal.reshape(-1, 1, signal.shape[-1]), (radius, radius), mode="replicate")
    return conv1d(lines, (weights / weights.sum()).view(1, 1, -1)).view_as(signal)
