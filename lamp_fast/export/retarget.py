"""A motion put on another character: every bone of theirs goes where the same bone of ours goes."""

from __future__ import annotations

import copy
import os
from dataclasses import replace

import numpy as np

from ..errors import LampError
from ..motion.animation import Animation, animate
from ..motion.heading import headings, yaw_quaternions
from ..motion.rotations import qcontinuous, qinv, qmul, qrot, quaternion_to_matrix, slerp
from ..motion.skeleton import HUMANML3D, Skeleton
from .bvh import write_bvh
from .coordinates import Coordinates
from .glb import Buffer, about, add_animation, write_document, write_glb
from .motion import Motion
from .planted import plant_feet, world_turns
from .target import Target, rotation_part

NEAR_FLOOR = 0.1  # metres: a character whose lowest joint lies between 0 and this stands on a floor at 0
SOLE = 0.02  # metres from the lowest joint of other characters down to the floor
SPINE = ("pelvis", "spine1", "spine2", "spine3")
SLOPED = np.radians(10)  # less than this a bone from ankle to toe does not point down in a pose with flat soles


def retarget(motion: Motion, target: Target, root_motion: bool = False) -> Animation:
    """The motion on the target's skeleton, in our axes and metres.

    Limbs, neck and head get the directions of ours, pelvis and chest the frames, the joints of the spine, however many,
    what lies between; feet that stand flat get the slope that theirs have; other joints stay on their parents as they
    are. The path is scaled by the length of the legs, and ankles that stand get the height that they have at rest.

    root_motion: the joint on which the pelvis hangs carries path and heading along the ground, as engines take it.

    Raises `LampError` for a motion of another skeleton than HumanML3D's, and for `root_motion` where the pelvis does
    not hang on the root.
    """
    if root_motion and _pelvis(target) != 1:
        raise LampError(f"the pelvis of {target.path} does not hang on its root, which could carry path and heading")
    if motion.skeleton != HUMANML3D:
        raise LampError(f"the motion has the skeleton {motion.skeleton.name}, expected {HUMANML3D.name}")
    world = _world_turns(motion, target)
    parents = np.array(target.parents)
    rotations = qmul(qinv(world[:, np.maximum(parents, 0)]), world)
    rotations[:, 0] = world[:, 0]
    places = target.places
    offsets = places - places[np.maximum(parents, 0)]
    offsets[0] = 0
    moved = Animation(
        target.names,
        target.parents,
        offsets,
        qcontinuous(rotations),
        np.zeros((len(world), 3)),
        motion.fps,
        target.orders,
    )
    pelvis = _pelvis(target)
    scale = _legs(target.joints[None], motion.skeleton).mean() / _legs(motion.joints, motion.skeleton).mean()
    placed = replace(moved, root=_pelvis_path(motion, target, scale) - moved.joints[:, pelvis])
    planted = plant_feet(placed, motion, target, scale)
    if root_motion:
        return _with_root_motion(planted, motion)
    return _on_still_root(planted, places[0]) if target.still_root else planted


def save_retargeted(
    motion: Motion,
    path: str | os.PathLike,
    target: Target,
    fps: float | None = None,
    root_motion: bool = False,
) -> None:
    """Write a motion on a character to a .bvh or .glb file; `root_motion` and errors as for `retarget`.

    From a BVH target a .bvh file gets its joints, axes, unit and channel orders; from a GLB target a .glb file is that
    file with this animation in place of its own. Else the file is in our axes, and a .glb has a body of sticks. Raises
    `LampError` as `retarget`, for other suffixes, and for a path that cannot be written.
    """
    animation = retarget(motion, target, root_motion)
    if fps is not None:
        animation = animation.resampled(fps)
    path = os.fspath(path)
    name, extras = motion.prompt or "motion", about(motion)
    if path.lower().endswith(".glb"):
        if target.document is None:
            return write_glb(path, animation, name, extras)
        return _write_into(path, animation, target, name, extras)
    if not path.lower().endswith(".bvh"):
        raise LampError(f"cannot put a character into {path}; expected a .bvh or .glb file")
    if target.document is not None:
        return write_bvh(path, animation)
    theirs = Coordinates("target", tuple(map(tuple, target.axes.T)))
    write_bvh(path, theirs.animation(animation), 1 / target.unit, target.ends)


def _on_still_root(animation: Animation, place: np.ndarray) -> Animation:
    """The same places of all joints from the pelvis on, which moves by itself above a root that stays at `place`."""
    root, turns = np.tile(place, (len(animation.root), 1)), animation.rotations[:, 0]
    return replace(animation, root=root, pelvis=qrot(qinv(turns), animation.joints[:, 1] - root))


def _with_root_motion(animation: Animation, motion: Motion) -> Animation:
    """The same places of all joints from the pelvis on, the root below it on the ground and turned with the heading."""
    yaw = headings(motion.joints, motion.skeleton)
    turns, pelvis = world_turns(animation), animation.joints[:, 1]
    root, turn = pelvis * [1, 0, 1], qmul(yaw_quaternions(yaw), turns[:, 0])
    rotations = animation.rotations.copy()
    rotations[:, 0], rotations[:, 1] = turn, qmul(qinv(turn), turns[:, 1])
    return replace(animation, rotations=qcontinuous(rotations), root=root, pelvis=qrot(qinv(turn), pelvis - root))


def _turns(joints: np.ndarray, skeleton: Skeleton, fps: float) -> dict[str, np.ndarray]:
    """World rotation (T, 4) of each of our joints, from the T-pose."""
    ours = animate(joints, skeleton, fps)
    return dict(zip(ours.names, world_turns(ours).swapaxes(0, 1)))


def _world_turns(motion: Motion, target: Target) -> np.ndarray:
    """How far (T, K, 4) each joint of the target is turned in the world.

    A joint turns from the target's pose as far as ours does from the same pose of ours.
    """
    skeleton = motion.skeleton
    ours = _turns(motion.joints, skeleton, motion.fps)
    same = _turns(target.joints[None].astype(np.float32), skeleton, motion.fps)
    change = {name: qmul(turns, qinv(same[name])) for name, turns in ours.items()}
    for ankle, flat in zip(("l_ankle", "r_ankle"), _flat_feet(motion, target)):
        change[ankle] = qmul(ours[ankle], qmul(flat, qinv(same[ankle])))

    moved = {}
    for joint, name in enumerate(skeleton.joint_names):
        node = target.node(name)
        if node is not None and name not in SPINE and skeleton.children[joint]:
            moved[node] = change[name]
    path = _path(target)
    for i, node in enumerate(path):
        part = 3 * i / max(len(path) - 1, 1)
        low = min(int(part), 2)
        moved[node] = slerp(change[SPINE[low]], change[SPINE[low + 1]], part - low)

    pose = target.axes_turned(target.turns)
    world: list[np.ndarray] = []
    for joint, parent in enumerate(target.parents):
        if joint in moved:
            world.append(qmul(moved[joint], pose[joint][None]))
        elif parent < 0:
            world.append(np.tile(pose[joint], (len(motion.joints), 1)))
        else:
            world.append(qmul(world[parent], qmul(qinv(pose[parent]), pose[joint])[None]))
    return np.stack(world, axis=1)


def _flat_feet(motion: Motion, target: Target) -> list[np.ndarray]:
    """For each foot the turn (1, 4) about X by which their bone from ankle to toe points further down than ours while
    the sole is flat: in their rest pose, and while our feet stand. None where their rest pose does not tell."""
    skeleton, still = motion.skeleton, np.array([[1.0, 0, 0, 0]])
    flat = []
    for side, (ankle, toe) in enumerate((skeleton.left_foot, skeleton.right_foot)):
        theirs = _pitch(target.joints[toe] - target.joints[ankle])
        down = np.asarray(motion.contacts)[:, 2 * side + 1]
        if not target.poses_at_rest or theirs < SLOPED or not down.any():
            flat.append(still)
            continue
        ours = np.median(_pitch(motion.joints[down, toe] - motion.joints[down, ankle]))
        half = (theirs - ours) / 2
        flat.append(np.array([[np.cos(half), np.sin(half), 0, 0]]))
    return flat


def _pitch(bone: np.ndarray) -> np.ndarray:
    """Radians by which bones (..., 3) point down."""
    return np.arctan2(-bone[..., 1], np.linalg.norm(bone[..., [0, 2]], axis=-1))


def _path(target: Target) -> list[int]:
    """Joints from the pelvis up to the one on which the neck hangs."""
    pelvis, node = _pelvis(target), target.node("neck")
    path = []
    while node is not None and node >= 0 and node != pelvis:
        node = target.parents[node]
        path.append(node)
    if not path or path[-1] != pelvis:
        raise LampError(f"the neck of {target.path} does not hang on its pelvis; expected one body")
    return path[::-1]


def _pelvis(target: Target) -> int:
    pelvis = target.node("pelvis")
    if pelvis is None:
        raise LampError(f"no joint of {target.path} lies at the pelvis; give a mapping that names one")
    return pelvis


def _pelvis_path(motion: Motion, target: Target, scale: float) -> np.ndarray:
    """(T, 3) metres: where the target's pelvis goes."""
    skeleton, ours, rest = motion.skeleton, motion.joints.astype(np.float64), target.joints
    ankles = [skeleton.left_foot[0], skeleton.right_foot[0]]
    path = scale * ours[:, 0]
    slopes = [_pitch(rest[toe] - rest[ankle]) for ankle, toe in (skeleton.left_foot, skeleton.right_foot)]
    if target.poses_at_rest and min(slopes) > SLOPED:
        lowest = rest[:, 1].min()
        floor = 0.0 if 0 <= lowest < NEAR_FLOOR else lowest - SOLE
        path[:, 1] += rest[ankles, 1].mean() - floor - scale * np.percentile(ours[:, ankles, 1].min(axis=1), 10)
    return path


def _legs(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(T, 2) metres from hips over knees to ankles."""
    lengths = []
    for ankle in (skeleton.left_foot[0], skeleton.right_foot[0]):
        knee = skeleton.parents[ankle]
        hip = skeleton.parents[knee]
        lengths.append(
            np.linalg.norm(joints[:, knee] - joints[:, hip], axis=-1)
            + np.linalg.norm(joints[:, ankle] - joints[:, knee], axis=-1)
        )
    return np.stack(lengths, axis=1)


def _write_into(path: str, animation: Animation, target: Target, name: str, extras: dict) -> None:
    """The target's own file with another animation, of the pelvis and what hangs on it, and of a root that moves."""
    axes = Coordinates("target", tuple(map(tuple, target.axes.T)))
    theirs = axes.animation(animation)
    world = qmul(world_turns(theirs), rotation_part(target.world)[None])
    places = theirs.joints / target.unit

    first = _pelvis(target) if theirs.pelvis is None else 0
    joints = list(range(first, len(theirs.names)))
    above = target.above if theirs.parents[first] < 0 else target.world[theirs.parents[first]]
    around = np.tile(above, (len(places), 1, 1))
    root, pelvis = _inside(around, places[:, first]), None
    if theirs.pelvis is not None:
        scale = np.linalg.norm(target.world[0, :3, :3], axis=0)
        around[:, :3, :3] = quaternion_to_matrix(world[:, 0]) * scale
        around[:, :3, 3] = places[:, 0]
        pelvis = _inside(around, places[:, 1])
    local = [world[:, j] if p < 0 else qmul(qinv(world[:, p]), world[:, j]) for j, p in enumerate(theirs.parents)]
    local[first] = qmul(qinv(rotation_part(above))[None], world[:, first])
    moves = Animation(
        tuple(theirs.names[j] for j in joints),
        (-1, *([0] * (len(joints) - 1))),  # only names and tracks are written
        np.zeros((len(joints), 3)),
        qcontinuous(np.stack([local[j] for j in joints], axis=1)),
        root,
        theirs.fps,
        tuple("ZXY" for _ in joints),
        pelvis,
    )
    document = copy.deepcopy(target.document)
    document["animations"] = []
    buffer = Buffer(document, target.data)
    add_animation(buffer, moves, [target.nodes[j] for j in joints], name, extras)
    write_document(path, document, bytes(buffer.data))


def _inside(around: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places (T, 3) of the world as seen from transforms (T, 4, 4)."""
    whole = np.concatenate([places, np.ones((len(places), 1))], axis=1)
    return np.linalg.solve(around, whole[..., None])[:, :3, 0]
