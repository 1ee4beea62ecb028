"""Kinematics in the convention of HumanML3D's features.

The rotation of joint j turns the bone that ends in j from its raw offset, and is relative to the rotation of the joint
before it in its chain; every chain, the arms' too, starts from the root's rotation. (For a hierarchy as animation tools
know it see `kinematics`.)

Source: released `common/skeleton.py`. Computed on components (J, M, T), see `arrays.to_components`; all chains advance
together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import LampError
from .arrays import accepts_numpy, check_joints, from_components, to_components
from .components import Components, length, normalize, qbetween, qinv, qmul, qrot
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
    positions = to_components(joints)
    root = quaternion_of_yaw(facing_yaw(positions, skeleton, smooth_facing))
    others = chain_rotations(bone_rotations(positions, skeleton), root, skeleton)
    return from_components([torch.cat(pair) for pair in zip(root, others)], joints.shape[:-2])


@accepts_numpy
def chain_forward_kinematics(
    quaternions: Tensor, root: Tensor, skeleton: Skeleton, offsets: Tensor | None = None, rotate_root: bool = True
) -> Tensor:
    """Joints of chain rotations (released `forward_kinematics`).

    quaternions: (..., T, J, 4) float. root: (..., T, 3) metres. offsets: (J, 3) metres, the skeleton's if not given.
    rotate_root: False leaves the root's rotation out. Returns (..., T, J, 3) of the dtype of the quaternions, metres.
    """
    local = to_components(quaternions)
    offsets = quaternions.new_tensor(skeleton.target_offsets) if offsets is None else offsets
    start = [c[:1] for c in local]
    if not rotate_root:
        start = [torch.full_like(c, component) for c, component in zip(start, (1.0, 0.0, 0.0, 0.0))]
    world = along_chains(qmul, start, [c[1:] for c in local], skeleton)
    joints = place_bones(world, to_components(root[..., None, :]), offsets, skeleton)
    return from_components(joints, quaternions.shape[:-2]).to(quaternions.dtype)


def facing_yaw(positions: Components, skeleton: Skeleton, smooth: bool) -> Components:
    """Parts w and y, each (M, T), of the quaternion that turns where a body faces to +Z; the identity in frame 0."""
    # The released inverse kinematics takes the hips the other way round, so that the shoulders outvote them; kept.
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    across = [c[left_hip] - c[right_hip] + (c[right_shoulder] - c[left_shoulder]) for c in positions]
    forward = facing(across)
    if smooth:
        forward = _smooth(torch.stack(forward)).unbind(0)
    w, y = yaw_to_front(forward, positions[0].dtype)
    w[:, 0], y[:, 0] = 1.0, 0.0
    return w, y


def facing(across: Components) -> Components:
    """Direction x and z, float64, that a body faces whose right side lies in direction `across`."""
    x, _, z = normalize(across)
    return [z.double(), -x.double()]


def yaw_to_front(forward: Components, dtype: torch.dtype) -> Components:
    """Parts w and y, in the given dtype, of the quaternion that turns horizontal directions x and z to +Z."""
    x, z = (component.to(dtype) for component in normalize(forward))
    w = (x * x + z * z).sqrt() + z
    norm = length((w, x))
    return torch.where(norm > 0, w / norm, 0.0), torch.where(norm > 0, -x / norm, 1.0)


def bone_rotations(positions: Components, skeleton: Skeleton) -> Components:
    """Rotations, quaternion components (J-1, M, T), that turn each raw offset to the bone that ends in a joint."""
    parents = torch.tensor(skeleton.parents[1:], device=positions[0].device)
    bones = [c[1:] - c.index_select(0, parents) for c in positions]
    lengths = length(bones)
    if not lengths.amin() > 0:
        raise LampError("joints hold a bone of zero length, whose direction is undefined; repair or drop those frames")
    raw_offsets = positions[0].new_tensor(skeleton.raw_offsets)[1:, :, None, None].unbind(1)
    return qbetween(raw_offsets, [bone / lengths for bone in bones])


def chain_rotations(turned: Components, root: Components, skeleton: Skeleton) -> Components:
    """Chain rotations (J-1, M, T) for given rotations of the bones (J-1, M, T) and of the root (1, M, T)."""
    references = torch.tensor(skeleton.chain_references[1:], device=turned[0].device)
    before = [torch.cat([r, c]).index_select(0, references) for r, c in zip(root, turned)]
    return qmul(qinv(before), turned)


def quaternion_of_yaw(yaw: Components) -> Components:
    """Quaternion components (1, M, T) of parts w and y (M, T)."""
    w, y = (c[None] for c in yaw)
    return [w, torch.zeros_like(w), y, torch.zeros_like(w)]


def along_chains(advance: Callable, root: Components, rotations: Components, skeleton: Skeleton) -> Components:
    """Rotations (J, M, T) accumulated along each chain: `advance(accumulated, rotation)` from the root outwards."""
    world = [torch.cat([r, torch.empty_like(c)]) for r, c in zip(root, rotations)]
    accumulated = root
    for joints in skeleton.chain_steps:
        rows = torch.tensor(joints, device=world[0].device)
        accumulated = advance([c[: len(joints)] for c in accumulated], [c.index_select(0, rows - 1) for c in rotations])
        for whole, step in zip(world, accumulated):
            whole.index_copy_(0, rows, step)
    return world


def place_bones(world: Components, root: Components, offsets: Tensor, skeleton: Skeleton) -> Components:
    """Joints (J, M, T) float64 from accumulated rotations (J, M, T), root (1, M, T) and offsets (J, 3)."""
    bones = qrot([c[1:] for c in world], offsets[1:, :, None, None].unbind(1))
    joints = bones[0].new_empty(skeleton.num_joints, 3, *bones[0].shape[1:], dtype=torch.float64)
    for i in range(3):
        joints[:1, i], joints[1:, i] = root[i], bones[i]
    for parent, joint in skeleton.bones:
        joints[joint].add_(joints[parent])
    return joints.unbind(1)


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian of width `FACING_SIGMA` along the last dim, cut at four sigma, the ends repeated outwards.

    A block of frames is a matrix product of the frames around it, which costs a tenth of a convolution of one channel.
    """
    block, radius, frames = 64, 4 * FACING_SIGMA, signal.shape[-1]
    padded = pad(signal, (radius, radius + -frames % block), mode="replicate")
    frame = torch.arange(block + 2 * radius, dtype=signal.dtype, device=signal.device)
    distance = frame[:, None] - frame[:block] - radius
    weights = torch.exp(-0.5 * (distance / FACING_SIGMA) ** 2) * (distance.abs() <= radius)
    windows = padded.unfold(-1, block + 2 * radius, block).flatten(0, -2)
    return (windows @ (weights / weights.sum(0))).view(*signal.shape[:-1], -1)[..., :frames]
