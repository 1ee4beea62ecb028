"""Kinematics of a hierarchy, as animation tools know it: the rotation of a joint turns every bone that leaves it.

Rotations are told from a T-pose that faces +Z. (HumanML3D's features use another convention, see `chains`.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .arrays import accepts_numpy, check_joints
from .rotations import matrix_to_quaternion, qcontinuous, qinv, qmul, qnormalize, qrot
from .skeleton import Skeleton
from .twist import Hint, steady_swing

FLAT_HIPS = 0.04
"""Metres. Hips that lie nearer than this to a line through the pelvis do not tell how it tilts; the spine does."""

FOOT_SAYS = 0.3
"""What the foot has to say about the twist of its leg, where a knee or an elbow bent by a right angle says 1."""


@dataclass(frozen=True)
class Hierarchy:
    """Joints as files hold them, parents first. `joints` says which joint of the skeleton each of them lies on."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: tuple[int, ...]

    def is_base(self, node: int) -> bool:
        """Whether a joint was added at the place of its parent."""
        return node > 0 and self.joints[node] == self.joints[self.parents[node]]

    def children(self, node: int) -> list[int]:
        return [child for child, parent in enumerate(self.parents) if parent == node]


@cache
def plain_hierarchy(skeleton: Skeleton) -> Hierarchy:
    """The skeleton's joints and nothing else: hips and chest are rigid."""
    return Hierarchy(skeleton.joint_names, skeleton.parents, tuple(range(skeleton.num_joints)))


@cache
def hierarchy_with_bases(skeleton: Skeleton) -> Hierarchy:
    """The skeleton with a joint more where spine, hips and clavicles leave pelvis and chest, as in Acclaim's skeletons.

    A bone that can swing on its own needs a joint of its own. Without, a bent lower back or a lifted shoulder could
    only be told by moving joints away from their places.
    """
    names, parents, joints, node_of = [], [], [], {-1: -1}
    for joint, parent in enumerate(skeleton.parents):
        above = node_of[parent]
        if joint in _swinging(skeleton):
            names.append(f"{skeleton.joint_names[joint]}_base")
            parents.append(above)
            joints.append(parent)
            above = len(names) - 1
        node_of[joint] = len(names)
        names.append(skeleton.joint_names[joint])
        parents.append(above)
        joints.append(joint)
    return Hierarchy(tuple(names), tuple(parents), tuple(joints))


def _swinging(skeleton: Skeleton) -> set[int]:
    """The joints whose bones leave pelvis or chest. The neck is left out: the chest takes its frame from it."""
    pelvis, chest = (_sides(skeleton, joint) for joint, kids in enumerate(skeleton.children) if len(kids) > 1)
    return {*pelvis, *chest[:2]}


def _sides(skeleton: Skeleton, joint: int) -> tuple[int, int, int]:
    """Left, right and middle child of a joint that has three."""
    side = {skeleton.joint_names[child][:2]: child for child in skeleton.children[joint]}
    left, right = side.pop("l_"), side.pop("r_")
    (middle,) = side.values()
    return left, right, middle


@accepts_numpy
def forward_kinematics(quaternions: Tensor, root: Tensor, offsets: Tensor, skeleton: Skeleton | Hierarchy) -> Tensor:
    """Joints (..., T, J, 3), metres, of a pose in every frame.

    quaternions: (..., T, J, 4) unit, of each joint relative to its parent, the root's relative to the world.
    root: (..., T, 3) metres. offsets: (..., J, 3) metres, the bone that ends in each joint, in its parent's frame.
    """
    world, joints = [quaternions[..., 0, :]], [root]
    for joint, parent in enumerate(skeleton.parents[1:], 1):
        joints.append(joints[parent] + qrot(world[parent], offsets[..., None, joint, :]))
        world.append(qmul(world[parent], quaternions[..., joint, :]))
    return torch.stack(joints, dim=-2)


@accepts_numpy
def local_rotations(joints: Tensor, skeleton: Skeleton, hierarchy: Hierarchy | None = None) -> tuple[Tensor, Tensor]:
    """Rotations and bones that `forward_kinematics` turns into the given joints.

    joints: (..., T, J, 3) float, metres. Returns unit quaternions (..., T, J, 4) float32, relative to the parent and
    continuous in time, and T-pose bones (..., J, 3) float32 in metres, of each bone's mean length. J counts the joints
    of the hierarchy, which is `plain_hierarchy(skeleton)` if not given.

    With `hierarchy_with_bases` the joints come back exactly where bone lengths are constant; with the plain one hips
    and chest have to be rigid, too. Where they are not, every bone points from where its parent came out to where its
    end should be, so that errors do not add up along a limb.

    The pelvis takes its frame from the hips (from the spine, where hips and pelvis lie in a line), the chest from neck
    and clavicles. Every other joint turns its bone away from the T-pose, seen from its parent, see `twist`: twist comes
    from the parent, from knees, elbows and feet, and turning the character changes the root's rotation only.

    Raises `LampError` for NaN or a wrong joint count.
    """
    hierarchy = hierarchy or plain_hierarchy(skeleton)
    positions = check_joints(joints, skeleton.num_joints).double()
    bones = {joint: positions[..., joint, :] - positions[..., parent, :] for parent, joint in skeleton.bones}
    frames = body_frames(bones, skeleton)
    offsets = _t_pose_bones(bones, frames, skeleton, hierarchy)
    hinges = _hinges(skeleton)

    identity = positions.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(*positions.shape[:-2], 4)
    local, world, reached = [], [], []
    for node, (joint, parent) in enumerate(zip(hierarchy.joints, hierarchy.parents)):
        above = identity if parent < 0 else world[parent]
        start = positions[..., 0, :] if parent < 0 else reached[parent]
        reached.append(start + qrot(above, offsets[node][..., None, :]))
        children = hierarchy.children(node)
        rotation = identity
        if joint in frames and not hierarchy.is_base(node):
            rotation = qmul(qinv(above), frames[joint])
        elif children:
            rest, end = offsets[children[0]][..., None, :], hierarchy.joints[children[0]]
            direction = normalize(qrot(qinv(above), positions[..., end, :] - reached[node]), dim=-1)
            hints = [Hint(qrot(qinv(above), bones[bone]), side, weight) for bone, side, weight in hinges.get(joint, ())]
            rotation = steady_swing(normalize(rest, dim=-1), direction, hints)
        local.append(rotation)
        world.append(qnormalize(qmul(above, rotation)))
    return qcontinuous(torch.stack(local, dim=-2)).float(), torch.stack(offsets, dim=-2).float()


def body_frames(bones: dict[int, Tensor], skeleton: Skeleton) -> dict[int, Tensor]:
    """World rotations (..., T, 4) of pelvis and chest, in that order: the joints with a left, a right, a middle child.

    bones: (..., T, 3) of the bone that ends in each joint.
    """
    pelvis, chest = (joint for joint, children in enumerate(skeleton.children) if len(children) > 1)
    left, right, spine = (bones[child] for child in _sides(skeleton, pelvis))
    x = normalize(left - right, dim=-1)
    down = (left + right) / 2
    down = down - (down * x).sum(-1, keepdim=True) * x
    flat = down.norm(dim=-1, keepdim=True).mean(-2, keepdim=True) < FLAT_HIPS
    z = normalize(torch.linalg.cross(x, torch.where(flat, spine, -down)), dim=-1)
    frames = {pelvis: _rotation(x, torch.linalg.cross(z, x), z)}

    left, right, neck = (bones[child] for child in _sides(skeleton, chest))
    y = normalize(neck, dim=-1)
    z = normalize(torch.linalg.cross(left - right, y), dim=-1)
    frames[chest] = _rotation(torch.linalg.cross(y, z), y, z)
    return frames


def _rotation(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return matrix_to_quaternion(torch.stack([x, y, z], dim=-1))


def _t_pose_bones(
    bones: dict[int, Tensor], frames: dict[int, Tensor], skeleton: Skeleton, hierarchy: Hierarchy
) -> list[Tensor]:
    """The bone (..., 3) that ends in each joint of the hierarchy: its mean in the frame of pelvis or chest where it
    leaves one of them, else along the T-pose; zero for the root and for bases."""
    offsets = []
    for node, joint in enumerate(hierarchy.joints):
        parent = skeleton.parents[joint]
        if parent < 0 or hierarchy.is_base(node):
            offsets.append(torch.zeros_like(bones[1][..., 0, :]))
            continue
        bone = bones[joint]
        direction = bone.new_tensor(skeleton.t_pose[joint])
        if parent in frames:
            direction = normalize(qrot(qinv(frames[parent]), bone).mean(-2), dim=-1)
        offsets.append(direction * bone.norm(dim=-1, keepdim=True).mean(-2))
    return offsets


def _hinges(skeleton: Skeleton) -> dict[int, list[tuple[int, tuple[int, int, int], float]]]:
    """What tells how a limb twists: elbows bend forwards, knees backwards, and feet point forwards.

    Returns joint -> (joint that ends a later bone, side of the T-pose to which that bone should lie, weight).
    """
    hinges = {}
    for start, side in zip(skeleton.face_joints, (-1, -1, 1, 1)):
        (middle,) = skeleton.children[start]
        (end,) = skeleton.children[middle]
        hinges[start] = [(end, (0, 0, side), 1.0)]
        if side < 0:
            foot = (skeleton.children[end][0], (0, 0, 1), FOOT_SAYS)
            hinges[start].append(foot)
            hinges[middle] = [foot]
    return hinges
