"""The two skeletons of the field: HumanML3D's 22 joints and KIT-ML's 21.

Both are right-handed, Y up, in metres; a character that faces +Z has its left side at +X.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from ..errors import LampError

Vector = tuple[float, float, float]

_ROOT, _LEFT, _RIGHT, _UP, _DOWN, _FORWARD = (0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)


@dataclass(frozen=True)
class Skeleton:
    """Joints, the chains that join them, and what the feature representation needs to know about them.

    Sources: released `paramUtil.py` (chains, raw offsets) and `motion_representation.ipynb` (face joints, feet, legs).
    """

    name: str
    joint_names: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    """Joints from the root (or from a branching joint) outwards; every joint but the root ends exactly one bone."""
    raw_offsets: tuple[Vector, ...]
    """Unit direction of the bone that ends in each joint, in the rest pose; zero for the root."""
    offsets: tuple[Vector, ...] | None
    """Target bones in metres, each a multiple of its raw offset; None where the data set publishes none."""
    face_joints: tuple[int, int, int, int]
    """Right hip, left hip, right shoulder, left shoulder: they tell where the character faces."""
    leg_joints: tuple[int, int]
    """Ends of the two leg bones whose length sets the scale of a motion."""
    left_foot: tuple[int, int]
    right_foot: tuple[int, int]
    foot_threshold: float
    """A foot is in contact while it moves less than this in a frame: squared metres."""
    fps: float

    def __post_init__(self) -> None:
        if self.offsets is None:
            return
        if len(self.offsets) != self.num_joints:
            raise LampError(f"{self.name} needs {self.num_joints} offsets, found {len(self.offsets)}")
        for name, offset, raw in zip(self.joint_names, self.offsets, self.raw_offsets):
            along = sum(a * b for a, b in zip(offset, raw))
            if math.dist(offset, [along * r for r in raw]) > 1e-5 or along < 0:
                raise LampError(f"{self.name}: the offset of {name} is {offset}, expected a positive multiple of {raw}")

    def with_offsets(self, offsets: Sequence[Sequence[float]]) -> Skeleton:
        """The same skeleton with other bones (J, 3), metres; `LampError` unless multiples of the raw offsets."""
        return replace(self, offsets=tuple(tuple(float(x) for x in offset) for offset in offsets))

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @property
    def feature_dim(self) -> int:
        """4 root values, 9 per joint but the root (position, 6-d rotation), 3 velocities per joint, 4 foot contacts."""
        return 4 + 9 * (self.num_joints - 1) + 3 * self.num_joints + 4

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint; -1 for the root."""
        parents = [-1] * self.num_joints
        for chain in self.chains:
            for parent, joint in pairwise(chain):
                parents[joint] = parent
        return tuple(parents)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, joint) of every bone, ordered by joint, so that a parent's own bone comes first."""
        return tuple((self.parents[j], j) for j in range(1, self.num_joints))

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Joints whose parent is each joint."""
        return tuple(tuple(j for p, j in self.bones if p == parent) for parent in range(self.num_joints))

    @cached_property
    def t_pose(self) -> tuple[Vector, ...]:
        """Unit direction of the bone that ends in each joint of a T-pose facing +Z: arms along X, spine and head up."""
        directions: list[Vector] = [_ROOT] * self.num_joints
        right_hip, left_hip, right_shoulder, left_shoulder = self.face_joints
        for chain in self.chains:
            sideways = _RIGHT if {right_hip, right_shoulder} & {*chain} else _LEFT
            is_leg, is_arm = {right_hip, left_hip} & {*chain}, {right_shoulder, left_shoulder} & {*chain}
            for joint in chain[1:]:
                directions[joint] = self.raw_offsets[joint] if is_leg else sideways if is_arm else _UP
            if is_leg:
                directions[chain[1]] = sideways
        return tuple(directions)

    @cached_property
    def chain_references(self) -> tuple[int, ...]:
        """Joint before each joint in its chain, where a chain starts the root; -1 for the root."""
        references = [-1] * self.num_joints
        for chain in self.chains:
            references[chain[1]] = 0
            for previous, joint in pairwise(chain[1:]):
                references[joint] = previous
        return tuple(references)

    @cached_property
    def chain_steps(self) -> tuple[tuple[int, ...], ...]:
        """Step k has the k-th joint of every chain that long, longest first: each step continues the one before."""
        chains = sorted(self.chains, key=len, reverse=True)
        return tuple(tuple(c[k] for c in chains if len(c) > k) for k in range(1, len(chains[0])))

    @cached_property
    def target_offsets(self) -> tuple[Vector, ...]:
        """The offsets, or a `LampError` where the data set publishes none."""
        if self.offsets is None:
            raise LampError(
                f"{self.name} publishes no target skeleton; "
                "give one with skeleton.with_offsets(bone_offsets(joints, skeleton))"
            )
        return self.offsets

    @cached_property
    def mirrored_joints(self) -> tuple[int, ...]:
        """For each joint the one on the other side of the body; itself on the spine."""
        other_side = {"l": "r", "r": "l"}

        def mirrored(name: str) -> str:
            side, _, rest = name.partition("_")
            return f"{other_side[side]}_{rest}" if rest and side in other_side else name

        return tuple(self.joint_names.index(mirrored(name)) for name in self.joint_names)


def _offsets(lengths: Sequence[float], raw_offsets: Sequence[Vector]) -> tuple[Vector, ...]:
    return tuple(tuple(length * r for r in raw) for length, raw in zip(lengths, raw_offsets))


# fmt: off
_HUMANML3D_RAW_OFFSETS = (
    _ROOT, _LEFT, _RIGHT, _UP, _DOWN, _DOWN, _UP, _DOWN, _DOWN, _UP, _FORWARD, _FORWARD,
    _UP, _LEFT, _RIGHT, _FORWARD, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN, _DOWN,
)
_HUMANML3D_LENGTHS = (
    0.0, 0.103074, 0.109883, 0.131568, 0.393623, 0.390188, 0.143190, 0.432433, 0.425644, 0.057365, 0.143382, 0.149419,
    0.219360, 0.137487, 0.143383, 0.103039, 0.131614, 0.122984, 0.256840, 0.263092, 0.266012, 0.269876,
)

HUMANML3D = Skeleton(
    name="humanml3d",
    joint_names=(
        "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot",
        "r_foot", "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow",
        "l_wrist", "r_wrist",
    ),
    chains=((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20)),
    raw_offsets=_HUMANML3D_RAW_OFFSETS,
    offsets=_offsets(_HUMANML3D_LENGTHS, _HUMANML3D_RAW_OFFSETS),
    face_joints=(2, 1, 17, 16),
    leg_joints=(5, 8),
    left_foot=(7, 10),
    right_foot=(8, 11),
    foot_threshold=0.002,
    fps=20.0,
)

# Sides are the released script's (joints 11 and 5 are its right hip and shoulder).
KIT = Skeleton(
    name="kit",
    joint_names=(
        "pelvis", "spine1", "spine2", "neck", "head",
        "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist",
        "r_hip", "r_knee", "r_ankle", "r_heel", "r_foot", "l_hip", "l_knee", "l_ankle", "l_heel", "l_foot",
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    raw_offsets=(
        _ROOT, _UP, _UP, _UP, _UP, _LEFT, _DOWN, _DOWN, _RIGHT, _DOWN, _DOWN,
        _LEFT, _DOWN, _DOWN, _FORWARD, _FORWARD, _RIGHT, _DOWN, _DOWN, _FORWARD, _FORWARD,
    ),
    offsets=None,
    face_joints=(11, 16, 5, 8),
    leg_joints=(17, 18),
    left_foot=(19, 20),
    right_foot=(14, 15),
    foot_threshold=0.05,
    fps=12.5,
)
# fmt: on

SKELETONS = {"humanml3d": HUMANML3D, "kit": KIT}
