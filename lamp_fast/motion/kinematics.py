"""Kinematics of a hierarchy, as animation tools know it: the rotation of a joint turns every bone that leaves it.

Rotations are told from a T-pose that faces +Z. (HumanML3D's features use another convention, see `chains`.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .arrays import accepts_numpy, check_joints
from .rotations import matrix_to_quaternion, qbetween, qcontinuous, qinv, qmul, qnormalize, qrot
from .skeleton import Skeleton


@accepts_numpy
def forward_kinematics(quaternions: Tensor, root: Tensor, offsets: Tensor, skeleton: Skeleton) -> Tensor:
    """Joints (..., T, J, 3), metres, of a pose in every frame.

    quaternions: (..., T, J, 4) unit, of each joint relative to its parent, the root's relative to the world.
    root: (..., T, 3) metres. offsets: (..., J, 3) metres, the bone that ends in each joint, in its parent's frame.
    """
    world, joints = [quaternions[..., 0, :]], [root]
    for parent, joint in skeleton.bones:
        joints.append(joints[parent] + qrot(world[parent], offsets[..., None, joint, :]))
        world.append(qmul(world[parent], quaternions[..., joint, :]))
    return torch.stack(joints, dim=-2)


@accepts_numpy
def local_rotations(joints: Tensor, skeleton: Skeleton) -> tuple[Tensor, Tensor]:
    """Rotations and bones that `forward_kinematics` turns into the given joints.

    joints: (..., T, J, 3) float, metres. Returns unit quaternions (..., T, J, 4) float32, relative to the parent and
    continuous in time, and T-pose bones (..., J, 3) float32 in metres, of each bone's mean length.

    The joints come back exactly where hips and chest are rigid and bone lengths constant. Where they are not, every
    bone points from where its parent came out to where its end should be, so that errors do not add up along a limb.

    A joint with several children (pelvis, chest) takes its frame from them: X from the right one to the left one, Y
    towards the middle one. A joint with one child turns by the shortest arc, seen from its parent, from the T-pose to
    the child: twist comes from the parent, and turning the character changes the root's rotation only.

    Raises `LampError` for NaN or a wrong joint count.
    """
    positions = check_joints(joints, skeleton.num_joints).double()
    t_pose = positions.new_tensor(skeleton.t_pose)
    bones = {joint: positions[..., joint, :] - positions[..., parent, :] for parent, joint in skeleton.bones}
    offsets = {joint: t_pose[joint] * bone.norm(dim=-1, keepdim=True).mean(-2) for joint, bone in bones.items()}

    identity = positions.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(*positions.shape[:-2], 4)
    local, world, reached = {}, {-1: identity}, {0: positions[..., 0, :]}
    for joint, parent in enumerate(skeleton.parents):
        carried = world[parent]
        children = skeleton.children[joint]
        if len(children) > 1:
            local[joint] = qmul(qinv(carried), _frame(bones, children, skeleton))
        elif children:
            towards = positions[..., children[0], :] - reached[joint]
            local[joint] = qbetween(offsets[children[0]][..., None, :], qrot(qinv(carried), towards))
        else:
            local[joint] = identity
        world[joint] = qnormalize(qmul(carried, local[joint]))
        for child in children:
            if len(children) > 1:
                offsets[child] = qrot(qinv(world[joint]), bones[child]).mean(-2)
            reached[child] = reached[joint] + qrot(world[joint], offsets[child][..., None, :])

    order = range(skeleton.num_joints)
    offsets[0] = torch.zeros_like(offsets[1])
    quaternions = qcontinuous(torch.stack([local[joint] for joint in order], dim=-2))
    return quaternions.float(), torch.stack([offsets[joint] for joint in order], dim=-2).float()


def _frame(bones: dict[int, Tensor], children: tuple[int, ...], skeleton: Skeleton) -> Tensor:
    """World rotation (..., T, 4) of a joint whose children are a left, a right and a middle one."""
    side = {skeleton.joint_names[child][:2]: bones[child] for child in children}
    left, right = side.pop("l_"), side.pop("r_")
    (middle,) = side.values()
    x = normalize(left - right, dim=-1)
    z = normalize(torch.linalg.cross(x, middle), dim=-1)
    return matrix_to_quaternion(torch.stack([x, torch.linalg.cross(z, x), z], dim=-1))
