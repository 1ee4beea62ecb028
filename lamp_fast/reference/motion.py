"""HumanML3D's feature extraction as released: clip by clip in NumPy, bone after bone, quaternions in float32 torch.

Oracle and baseline of `lamp_fast.motion.features`. Arrays are (T, J, 3) metres; quaternions (T, 4) are w, x, y, z.
Source: `motion_representation.ipynb`, `common/skeleton.py` and `common/quaternion.py` of HumanML3D.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from ..motion.skeleton import Skeleton

SIGMA = 20


def _float32(array: np.ndarray, width: int) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float().view(-1, width)


def qmul(q: np.ndarray, r: np.ndarray) -> np.ndarray:
    terms = torch.bmm(_float32(r, 4)[:, :, None], _float32(q, 4)[:, None, :])
    product = torch.stack(
        [
            terms[:, 0, 0] - terms[:, 1, 1] - terms[:, 2, 2] - terms[:, 3, 3],
            terms[:, 0, 1] + terms[:, 1, 0] - terms[:, 2, 3] + terms[:, 3, 2],
            terms[:, 0, 2] + terms[:, 1, 3] + terms[:, 2, 0] - terms[:, 3, 1],
            terms[:, 0, 3] - terms[:, 1, 2] + terms[:, 2, 1] + terms[:, 3, 0],
        ],
        dim=1,
    )
    return product.view(q.shape).numpy()


def qinv(q: np.ndarray) -> np.ndarray:
    return (_float32(q, 4) * torch.tensor([1.0, -1, -1, -1])).view(q.shape).numpy()


def qrot(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    q, vector = _float32(q, 4), _float32(v, 3)
    once = torch.linalg.cross(q[:, 1:], vector)
    twice = torch.linalg.cross(q[:, 1:], once)
    return (vector + 2 * (q[:, :1] * once + twice)).view(v.shape).numpy()


def qbetween(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = _float32(a, 3), _float32(b, 3)
    lengths = torch.sqrt((a**2).sum(-1, keepdim=True) * (b**2).sum(-1, keepdim=True))
    q = torch.cat([lengths + (a * b).sum(-1, keepdim=True), torch.linalg.cross(a, b)], dim=-1)
    return (q / q.norm(dim=-1, keepdim=True)).numpy()


def quaternion_to_cont6d(q: np.ndarray) -> np.ndarray:
    w, x, y, z = torch.from_numpy(q).float().unbind(-1)
    s = 2 / (w * w + x * x + y * y + z * z)
    first = [1 - s * (y * y + z * z), s * (x * y + z * w), s * (x * z - y * w)]
    second = [s * (x * y - z * w), 1 - s * (x * x + z * z), s * (y * z + x * w)]
    return torch.stack(first + second, dim=-1).numpy()


def normalize(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt((v**2).sum(-1, keepdims=True))


def gaussian_smooth(signal: np.ndarray) -> np.ndarray:
    """Gaussian along the first axis, cut at four sigma, end values repeated."""
    radius = 4 * SIGMA
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
    padded = np.pad(signal, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, weights / weights.sum(), mode="valid") for column in padded.T], axis=-1)


def inverse_kinematics(joints: np.ndarray, skeleton: Skeleton, smooth_forward: bool) -> np.ndarray:
    """(T, J, 3) to quaternions (T, J, 4), each relative to the joint before it in its chain."""
    # The released code takes its first two face joints for the left and the right hip, in this order.
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    across = joints[:, left_hip] - joints[:, right_hip] + (joints[:, right_shoulder] - joints[:, left_shoulder])
    forward = np.cross(np.array([[0, 1, 0]]), normalize(across))
    if smooth_forward:
        forward = gaussian_smooth(forward)
    root = qbetween(normalize(forward), np.array([[0, 0, 1]]).repeat(len(forward), axis=0))
    root[0] = [1, 0, 0, 0]

    quaternions = np.zeros((*joints.shape[:2], 4))
    quaternions[:, 0] = root
    for chain in skeleton.chains:
        accumulated = root
        for parent, joint in pairwise(chain):
            bone = normalize(joints[:, joint] - joints[:, parent])
            raw_offset = np.array([skeleton.raw_offsets[joint]]).repeat(len(joints), axis=0)
            local = qmul(qinv(accumulated), qbetween(raw_offset, bone))
            quaternions[:, joint] = local
            accumulated = qmul(accumulated, local)
    return quaternions


def forward_kinematics(
    quaternions: np.ndarray, root: np.ndarray, offsets: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """Quaternions (T, J, 4), root (T, 3) and bones (J, 3) to joints (T, J, 3)."""
    joints = np.zeros((*quaternions.shape[:2], 3))
    joints[:, 0] = root
    for chain in skeleton.chains:
        accumulated = quaternions[:, 0]
        for parent, joint in pairwise(chain):
            accumulated = qmul(accumulated, quaternions[:, joint])
            offset = offsets[None, joint].repeat(len(joints), axis=0)
            joints[:, joint] = qrot(accumulated, offset) + joints[:, parent]
    return joints


def uniform_skeleton(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(T, J, 3) with the skeleton's bone lengths, and the root's path scaled by the length of the legs."""

    def bone_length(joint: int) -> np.ndarray:
        return torch.from_numpy(joints[0, joint] - joints[0, skeleton.parents[joint]]).norm().numpy()

    offsets = np.array(skeleton.target_offsets, dtype=np.float32)
    scale = sum(np.abs(offsets[j]).max() for j in skeleton.leg_joints) / sum(map(bone_length, skeleton.leg_joints))
    quaternions = inverse_kinematics(joints, skeleton, smooth_forward=False)
    return forward_kinematics(quaternions, joints[:, 0] * scale, offsets, skeleton)


def joints_to_features(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(T, J, 3) float32 to (T-1, F) float32."""
    positions = uniform_skeleton(joints, skeleton)

    # On the floor, at the origin, facing +Z.
    positions[:, :, 1] -= positions[:, :, 1].min()
    first = positions[0]
    positions = positions - first[0] * np.array([1, 0, 1])
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    across = first[right_hip] - first[left_hip] + (first[right_shoulder] - first[left_shoulder])
    forward = normalize(np.cross(np.array([[0, 1, 0]]), normalize(across)))
    to_front = qbetween(forward, np.array([[0, 0, 1]]))
    positions = qrot(np.ones((*positions.shape[:-1], 4)) * to_front, positions)

    # Rotations of the joints, and the root's turn and step from frame to frame.
    quaternions = inverse_kinematics(positions, skeleton, smooth_forward=True)
    rotations = quaternion_to_cont6d(quaternions)
    yaw = quaternions[:, 0]
    turn = qmul(yaw[1:], qinv(yaw[:-1]))
    step = qrot(yaw[1:], positions[1:, 0] - positions[:-1, 0])

    # Positions and velocities as seen from the root, facing +Z.
    num_joints = skeleton.num_joints
    local = positions.copy()
    local[..., 0] -= positions[:, :1, 0]
    local[..., 2] -= positions[:, :1, 2]
    local = qrot(np.repeat(yaw[:, None], num_joints, axis=1), local)
    velocities = positions[1:] - positions[:-1]
    contacts = (velocities**2).sum(-1)[:, [*skeleton.left_foot, *skeleton.right_foot]] < skeleton.foot_threshold
    velocities = qrot(np.repeat(yaw[:-1, None], num_joints, axis=1), velocities)

    rows = len(velocities)
    parts = [
        np.arcsin(turn[:, 2:3]),
        step[:, [0, 2]],
        local[:-1, 0, 1:2],
        local[:-1, 1:].reshape(rows, -1),
        rotations[:-1, 1:].reshape(rows, -1),
        velocities.reshape(rows, -1),
        contacts,
    ]
    return np.concatenate(parts, axis=-1).astype(np.float32)
