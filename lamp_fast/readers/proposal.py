"""A first mapping for a skeleton nobody has described: by names where they tell, by shape where they do not."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..files import new_file
from .bodies import JOINTS, Source, by_name, complete, recognise
from .hierarchy import Capture, Hierarchy

LIMB = 0.2
"""A branch counts as a limb from this share of the longest way down from a branching."""
ALIKE = 0.15
"""Left and right differ in length by less than this share."""


@dataclass(frozen=True)
class Proposal:
    """joints: the source of each joint, None where neither names nor shape tell. by: "name", "shape" or "nothing".

    known: the skeleton is recognised under this name, so that `read_motion` needs no mapping.
    """

    joints: dict[str, Source | None]
    by: dict[str, str]
    known: str | None = None

    @property
    def missing(self) -> list[str]:
        return [joint for joint, source in self.joints.items() if source is None]


def propose(capture: Capture) -> Proposal:
    """Where each of the 22 joints may come from. Raises `LampError` for a file without frames."""
    hierarchy = capture.hierarchy
    known = recognise(hierarchy)
    if known is not None:
        return Proposal({joint: known.joints[joint] for joint in JOINTS}, dict.fromkeys(JOINTS, "name"), known.name)
    named = by_name(hierarchy)
    pose = next(capture.positions(range(len(hierarchy.names))))[0]
    joints = complete(by_shape(hierarchy, pose) | named, hierarchy)
    by = {joint: "name" if joint in named else "shape" if joint in joints else "nothing" for joint in JOINTS}
    return Proposal({joint: joints.get(joint) for joint in JOINTS}, by)


def write_map(path: str | os.PathLike, proposal: Proposal) -> None:
    """Write a mapping file for `read_map`; joints left open are null. Raises `LampError` if that is impossible."""
    joints = {joint: list(s) if isinstance(s, tuple) else s for joint, s in proposal.joints.items()}
    lines = [f"    {json.dumps(joint)}: {json.dumps(source, ensure_ascii=False)}" for joint, source in joints.items()]
    text = '{\n  "unit": null,\n  "up": null,\n  "skip_frames": 0,\n  "joints": {\n' + ",\n".join(lines) + "\n  }\n}\n"
    with new_file(path) as file:
        file.write_text(text, encoding="utf-8")


def by_shape(hierarchy: Hierarchy, pose: np.ndarray) -> dict[str, Source]:
    """Joints told by the form of the tree and one pose (P, 3): two pairs of equal limbs, the legs nearer to the root.

    Left and right follow from where the toes point. Empty where the tree is not that of a person.
    """
    tree = _Tree(hierarchy, pose)
    pairs = tree.pairs()
    if len(pairs) < 2:
        return {}
    # The legs are lower; where both pairs hang on one point, only that tells.
    height = [np.mean([pose[tree.limb(child)[-1], 1] for child in pair[1]]) for pair in pairs]
    (pelvis, legs), (chest, arms) = (pairs[i] for i in np.argsort(height))
    path = hierarchy.path(pelvis, chest)
    if path is None:
        return {}
    trunk = [c for c in hierarchy.children[chest] if c not in arms and tree.reach[c] + tree.length[c] > 0]
    head = tree.limb(max(trunk, key=lambda c: tree.reach[c] + tree.length[c])) if trunk else []

    found: dict[str, int] = {"pelvis": pelvis}
    if len(head) > 1:
        found |= {"neck": head[0], "head": head[-2] if len(head) > 2 else head[-1]}
    upwards = pose[head[0] if head else chest] - pose[pelvis]
    limbs = [tree.bones(child) for child in legs]
    if not all(limbs):
        return {}
    toes = sum(pose[leg[3]] - pose[leg[2]] for leg in limbs if len(leg) > 3)
    left = np.cross(upwards, toes)
    if np.linalg.norm(left) < 1e-9:
        return {}
    for children, parts in ((legs, ("hip", "knee", "ankle", "foot")), (arms, ("shoulder", "elbow", "wrist"))):
        one, other = children
        is_left = np.dot(pose[tree.bones(one)[0]] - pose[tree.bones(other)[0]], left) > 0 if tree.bones(one) else True
        for side, child in zip("lr", (one, other) if is_left else (other, one)):
            found |= {f"{side}_{part}": point for part, point in zip(parts, tree.bones(child))}
            if parts[0] == "shoulder" and tree.bones(child) and tree.bones(child)[0] != child:
                found[f"{side}_collar"] = child
    return {joint: hierarchy.names[point] for joint, point in found.items()}


class _Tree:
    """Lengths in a skeleton: of the bone above each point, and of the longest way below it."""

    def __init__(self, hierarchy: Hierarchy, pose: np.ndarray):
        self.hierarchy = hierarchy
        parents = np.array(hierarchy.parents)
        self.length = np.where(parents >= 0, np.linalg.norm(pose - pose[parents], axis=1), 0)
        self.reach = np.zeros(len(parents))
        for point in reversed(range(1, len(parents))):
            self.reach[parents[point]] = max(self.reach[parents[point]], self.reach[point] + self.length[point])

    def limb(self, child: int) -> list[int]:
        """From a point along the longest way to its end."""
        path = [child]
        while below := self.hierarchy.children[path[-1]]:
            path.append(max(below, key=lambda c: self.reach[c] + self.length[c]))
        return path

    def pairs(self) -> list[tuple[int, tuple[int, int]]]:
        """The two points with two limbs of equal length and form, and these limbs: the longest such pairs."""
        branching = [point for point, children in enumerate(self.hierarchy.children) if len(children) > 1]
        least = LIMB * max(self.reach[branching], default=0)
        found = []
        for point, children in enumerate(self.hierarchy.children):
            limbs = [c for c in children if self.reach[c] + self.length[c] > least]
            for one, other in combinations(limbs[:8], 2):
                a, b = self.reach[one] + self.length[one], self.reach[other] + self.length[other]
                if abs(a - b) < ALIKE * max(a, b) and len(self.limb(one)) == len(self.limb(other)):
                    found.append((a + b, point, (one, other)))
        found.sort(reverse=True)
        return [(point, pair) for _, point, pair in found[:2]]

    def bones(self, child: int) -> list[int]:
        """Of a limb: where its two long neighbouring bones start, meet and end, and the point after; [] if short."""
        path = self.limb(child)
        if len(path) < 3:
            return []
        lengths = self.length[path]
        shorter = np.minimum(lengths[1:-1], lengths[2:])
        start = int(np.argmax(shorter > 0.85 * shorter.max()))
        return path[start : start + 4]
