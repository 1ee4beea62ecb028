"""Which points of a captured skeleton make HumanML3D's 22 joints: by a mapping, or by the names the points have."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.skeleton import HUMANML3D
from .hierarchy import END_SITE, Hierarchy

JOINTS = HUMANML3D.joint_names
CMU_UNIT = 0.0254 / 0.45
"""CMU's unit of length in metres: inches, scaled by 0.45."""
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "cmu": CMU_UNIT}

Source = str | tuple[str, str, float]
"""A point, or (a, b, t): the place t of the way from a to b."""

NO_TOES = 1.2
"""Where a foot is taken to end, on the way from knee to ankle, in a skeleton that ends there."""
# Where HumanML3D's three joints of the spine lie on the way from pelvis to neck.
SPINE = {"spine1": 0.2386, "spine2": 0.4982, "spine3": 0.6022}


@dataclass(frozen=True)
class BodyMap:
    """Where each of the 22 joints comes from.

    unit: metres in one unit of the file; None: told from the length of the legs. up: "y", "z", or None: told from the
    rest pose. skip_frames: frames at the start that are no motion. drop_rest_pose: leave out a first frame whose root
    is not turned at all.
    """

    joints: Mapping[str, Source]
    name: str = "mapping"
    unit: float | None = None
    up: str | None = None
    skip_frames: int = 0
    drop_rest_pose: bool = False

    @property
    def points(self) -> list[str]:
        """Every point that some joint needs."""
        return sorted({name for source in self.joints.values() for name in _names(source)})

    def weights(self, points: Sequence[str]) -> np.ndarray:
        """(22, len(points)): each joint as a mean of points."""
        weights = np.zeros((len(JOINTS), len(points)))
        for row, joint in enumerate(JOINTS):
            source = self.joints[joint]
            first, second, t = source if isinstance(source, tuple) else (source, source, 0.0)
            weights[row, points.index(first)] += 1 - t
            weights[row, points.index(second)] += t
        return weights

    def missing(self, hierarchy: Hierarchy) -> list[str]:
        return [name for name in self.points if name not in hierarchy.index]


def _names(source: Source) -> tuple[str, ...]:
    return source[:2] if isinstance(source, tuple) else (source,)


def _sides(pairs: Mapping[str, tuple[Source, Source]]) -> dict[str, Source]:
    return {f"{side}_{joint}": sources[i] for joint, sources in pairs.items() for i, side in enumerate("lr")}


# Bones of CMU's Acclaim files; a point is where the bone ends.
ACCLAIM = BodyMap(
    name="acclaim",
    up="y",
    joints={
        "pelvis": "root",
        "spine1": "lowerback",
        "spine2": "upperback",
        "spine3": ("upperback", "thorax", 0.55),
        "neck": "lowerneck",
        "head": "upperneck",
        **_sides(
            {
                "hip": ("lhipjoint", "rhipjoint"),
                "knee": ("lfemur", "rfemur"),
                "ankle": ("ltibia", "rtibia"),
                "foot": ("lfoot", "rfoot"),
                "collar": (("thorax", "lclavicle", 0.35), ("thorax", "rclavicle", 0.35)),
                "shoulder": ("lclavicle", "rclavicle"),
                "elbow": ("lhumerus", "rhumerus"),
                "wrist": ("lradius", "rradius"),
            }
        ),
    },
)

# The same skeleton as BVH, where a point is where the bone starts.
CMU = BodyMap(
    name="cmu",
    unit=CMU_UNIT,
    up="y",
    drop_rest_pose=True,
    joints={
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": "Spine1",
        "spine3": ("Spine1", "Neck", 0.55),
        "neck": "Neck1",
        "head": "Head",
        **_sides(
            {
                "hip": ("LeftUpLeg", "RightUpLeg"),
                "knee": ("LeftLeg", "RightLeg"),
                "ankle": ("LeftFoot", "RightFoot"),
                "foot": ("LeftToeBase", "RightToeBase"),
                "collar": (("Neck", "LeftArm", 0.35), ("Neck", "RightArm", 0.35)),
                "shoulder": ("LeftArm", "RightArm"),
                "elbow": ("LeftForeArm", "RightForeArm"),
                "wrist": ("LeftHand", "RightHand"),
            }
        ),
    },
)
CMU_MARKS = {"LHipJoint", "RHipJoint", "LowerBack"}

# What rigs call the points, without side, separators and case; the first that a skeleton has counts. Joints are looked
# up in this order and a point is taken once: a shoulder without an arm is no collar, a foot below an ankle are toes.
_SIDED = {
    "wrist": ("wrist", "hand"),
    "elbow": ("forearm", "lowerarm", "lowarm", "forearmbend", "farm", "elbow", "radius"),
    "shoulder": ("upperarm", "uparm", "uarm", "arm", "humerus", "shldr", "shldrbend", "shoulder"),
    "collar": ("collar", "clavicle", "clav", "collarbone", "shoulder"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "toe0", "foot"),
    "knee": ("leg", "shin", "calf", "lowerleg", "lowleg", "tibia", "knee"),
    "hip": ("upleg", "thigh", "upperleg", "thighbend", "femur", "hip"),
}
_SIDED_CORES = {core for cores in _SIDED.values() for core in cores}
_MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip"),
    "neck": ("neck", "neck1", "neck01"),
    "head": ("head",),
}

_PREFIX = re.compile(
    r"^(mixamorig\d*[\s_.-]*|(bip\d*|cc_base|valvebiped\.bip\d*|def|org|j_bip_c|j_bip|b|m_avg|f_avg)[\s_.-]+)", re.I
)


def recognise(hierarchy: Hierarchy) -> BodyMap | None:
    """The mapping that the names of a skeleton ask for; None where they leave a joint open.

    Known are CMU's two forms and the names of Mixamo, LAFAN1, Rokoko, Bandai-Namco, Unreal, Unity, 3ds Max, Xsens,
    OptiTrack, 100STYLE, SMPL and rigs that are called alike.
    """
    if CMU_MARKS <= hierarchy.index.keys() and not CMU.missing(hierarchy):
        return CMU
    if not ACCLAIM.missing(hierarchy) and not _bones_start(hierarchy):
        return ACCLAIM
    if set(JOINTS) <= hierarchy.index.keys():
        return BodyMap({joint: joint for joint in JOINTS}, name="humanml3d")
    joints = by_name(hierarchy)
    return BodyMap(joints, name="names") if len(joints) == len(JOINTS) else None


def _bones_start(hierarchy: Hierarchy) -> bool:
    """Whether Acclaim's names are of joints where bones start, as MotionBuilder and amc2bvh write them."""
    return bool(np.allclose(hierarchy.rest[hierarchy.index["lhipjoint"]], hierarchy.rest[hierarchy.index["root"]]))


def by_name(hierarchy: Hierarchy) -> dict[str, Source]:
    """Those of the 22 joints that the names of the points tell."""
    found = _named_points(hierarchy)
    joints: dict[str, Source] = {joint: hierarchy.names[point] for joint, point in found.items()}
    return complete(joints, hierarchy)


def complete(joints: Mapping[str, Source], hierarchy: Hierarchy) -> dict[str, Source]:
    """Add what follows from other joints: the spine, and toes, collars and head of a rig that has none."""
    joints = dict(joints)
    names, index = hierarchy.names, hierarchy.index

    def place(joint: str) -> int | None:
        source = joints.get(joint)
        return index.get(source) if isinstance(source, str) else None

    for side in "lr":
        ankle, shoulder = place(f"{side}_ankle"), place(f"{side}_shoulder")
        if f"{side}_foot" not in joints and ankle is not None and len(hierarchy.children[ankle]) == 1:
            joints[f"{side}_foot"] = names[hierarchy.children[ankle][0]]
        knee = place(f"{side}_knee")
        if f"{side}_foot" not in joints and None not in (ankle, knee) and not hierarchy.children[ankle]:
            joints[f"{side}_foot"] = (names[knee], names[ankle], NO_TOES)
        if f"{side}_collar" not in joints and shoulder is not None and hierarchy.parents[shoulder] >= 0:
            joints[f"{side}_collar"] = (names[hierarchy.parents[shoulder]], names[shoulder], 0.35)
    joints |= _trunk(hierarchy, {joint: point for joint in JOINTS if (point := place(joint)) is not None})
    neck, pelvis = place("neck"), place("pelvis")
    if "head" not in joints and neck is not None and len(hierarchy.children[neck]) == 1:
        joints["head"] = names[hierarchy.children[neck][0]]
    if neck is not None and pelvis is not None and not SPINE.keys() & joints.keys():
        path = hierarchy.path(pelvis, neck)
        joints |= _spine(hierarchy, path) if path else {}
    return joints


def _trunk(hierarchy: Hierarchy, found: Mapping[str, int]) -> dict[str, Source]:
    """Pelvis, neck and head as the limbs `found` tell them: where the legs meet with the arms, and what is above."""
    limbs = [found.get(joint) for joint in ("l_hip", "r_hip", "l_shoulder", "r_shoulder")]
    if None in limbs:
        return {}
    chest, pelvis = hierarchy.meeting(limbs[2:]), hierarchy.meeting(limbs)
    if chest is None or pelvis is None or chest == pelvis:
        return {}
    told: dict[str, int] = {}
    if "pelvis" not in found or hierarchy.path(found["pelvis"], chest) is None:
        told["pelvis"] = pelvis
    arms = {hierarchy.path(chest, shoulder)[1] for shoulder in limbs[2:] if shoulder != chest}
    upwards = [child for child in hierarchy.children[chest] if child not in arms]
    head = found.get("head")
    if head is not None and hierarchy.path(chest, head) and "neck" not in found:
        path = hierarchy.path(chest, head)
        told["neck"] = path[1] if len(path) > 2 else chest
    elif head is None and "neck" not in found and len(upwards) == 1:
        line = upwards
        while len(below := hierarchy.children[line[-1]]) == 1 and not hierarchy.names[below[0]].endswith(END_SITE):
            line.append(below[0])
        if len(line) > 1:
            told |= {"neck": line[0], "head": line[-1]}
    return {joint: hierarchy.names[point] for joint, point in told.items()}


def _spine(hierarchy: Hierarchy, path: list[int]) -> dict[str, Source]:
    """Three joints on the points from pelvis to neck, both of which `path` includes."""
    names = [hierarchy.names[point] for point in path]
    if len(names) == 5:
        return dict(zip(SPINE, names[1:4]))
    if len(names) == 4:
        return {"spine1": (names[0], names[1], 0.7), "spine2": names[1], "spine3": names[2]}
    lengths = np.linalg.norm(np.diff(hierarchy.rest[path], axis=0), axis=1)
    reached = np.concatenate([[0], lengths.cumsum()]) / max(lengths.sum(), 1e-9)
    spine: dict[str, Source] = {}
    for joint, fraction in SPINE.items():
        i = min(int(np.searchsorted(reached, fraction, side="right")) - 1, len(path) - 2)
        t = (fraction - reached[i]) / max(reached[i + 1] - reached[i], 1e-9)
        spine[joint] = (names[i], names[i + 1], round(float(np.clip(t, 0, 1)), 4))
    return spine


def _named_points(hierarchy: Hierarchy) -> dict[str, int]:
    cores: dict[tuple[str, str], int] = {}
    common = re.match(r".*[\s_.:|-]|", os.path.commonprefix(hierarchy.names))[0]
    for point, name in enumerate(hierarchy.names):
        cores.setdefault(split_name(name[len(common) :]), point)
    found = {
        joint: cores["", core] for joint, known in _MIDDLE.items() for core in reversed(known) if ("", core) in cores
    }
    for side in "lr":
        taken: set[int] = set()
        for part, known in _SIDED.items():
            points = (cores[side, core] for core in known if (side, core) in cores)
            point = next((point for point in points if point not in taken), None)
            if point is not None:
                taken.add(point)
                found[f"{side}_{part}"] = point
    return found


def split_name(name: str) -> tuple[str, str]:
    """Side ("l", "r" or "") and the rest of a name, without namespace, rig prefix, separators and case."""
    name = re.split(r"[:|]", name)[-1]
    name = _PREFIX.sub("", name)
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)
    words = [word.lower() for word in words if word.lower() not in ("jnt", "joint", "bone", "bind")]
    sides = {"left": "l", "right": "r", "l": "l", "r": "r"}
    side = ""
    for i in (0, len(words) - 1):
        if words and words[i] in sides:
            side = sides[words.pop(i)]
            break
    core = "".join(words)
    if not side:  # leftupleg, LEFTUPLEG, lfemur
        for word, letter in sides.items():
            if core.startswith(word) and core[len(word) :] in _SIDED_CORES:
                return letter, core[len(word) :]
    return side, core


def read_map(path: str | os.PathLike) -> BodyMap:
    """A mapping file: JSON with `joints` and, where they are not to be guessed, `unit`, `up`, `skip_frames`.

    Each of the 22 joints is a point's name or `[name, name, t]`, the place t of the way between two points. Raises
    `LampError` for a file that cannot be read and for joints left open.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise LampError(
            f"cannot read the mapping {path} ({error}); give the JSON file of `lamp-fast data map`"
        ) from error
    joints = values.get("joints") if isinstance(values, dict) else None
    if not isinstance(joints, dict):
        raise LampError(f"{path} has no joints; give a mapping as `lamp-fast data map` writes it")
    wrong = [joint for joint in JOINTS if not _is_source(joints.get(joint))]
    if wrong:
        raise LampError(f"{path} leaves open {', '.join(wrong)}; give each the name of a point, or [name, name, t]")
    unit, up, skip = values.get("unit"), values.get("up"), values.get("skip_frames", 0)
    metres = UNITS.get(unit, unit) if isinstance(unit, str) else unit
    if metres is not None and not (isinstance(metres, int | float) and 0 < metres < 1e3):
        raise LampError(f"{path} has the unit {unit!r}, expected one of {', '.join(UNITS)} or its length in metres")
    if up not in (None, "y", "z"):
        raise LampError(f"{path} has up {up!r}, expected 'y' or 'z'")
    if not isinstance(skip, int) or skip < 0:
        raise LampError(f"{path} has skip_frames {skip!r}, expected a whole number of frames")
    sources = {joint: tuple(s) if isinstance(s, list) else s for joint, s in joints.items() if joint in JOINTS}
    return BodyMap(sources, name=Path(path).stem, unit=metres, up=up, skip_frames=skip)


def _is_source(value: object) -> bool:
    if isinstance(value, str):
        return True
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and isinstance(value[1], str)
        and isinstance(value[2], int | float)
        and -1 <= value[2] <= 2
    )
