"""The pose that a file calls zero: a T-pose, which retargeting tools expect."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..motion.rotations import qbetween, qinv, qmul, qrot
from ..motion.skeleton import Skeleton


def to_t_pose(rotations: np.ndarray, offsets: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The same motion told from a T-pose instead of the skeleton's own rest pose (arms down, head to the front).

    Bones of the spine and of the arms continue the first bone of their chain; legs stay as they are.

    Args:
        rotations: (T, J, 4) local unit quaternions w, x, y, z. offsets: (J, 3) metres.

    Returns:
        rotations (T, J, 4) and offsets (J, 3) whose forward kinematics gives the same joints.
    """
    turns = _turns(skeleton)
    parents = np.array(skeleton.parents)
    parent_turns = turns[np.maximum(parents, 0)]
    turned = qmul(qmul(parent_turns, rotations), qinv(turns))
    return turned, qrot(parent_turns, offsets)


def _turns(skeleton: Skeleton) -> np.ndarray:
    """(J, 4): how far each joint's frame turns, in the root's, from the rest pose to the T-pose."""
    raw = np.array(skeleton.raw_offsets, dtype=np.float64)
    feet = {*skeleton.left_foot, *skeleton.right_foot}
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (skeleton.num_joints, 1))
    for chain in skeleton.chains:
        if feet.isdisjoint(chain):
            for joint, child in pairwise(chain[1:]):
                turns[joint] = qbetween(raw[child], raw[chain[1]])
            turns[chain[-1]] = turns[chain[-2]]
    return turns
