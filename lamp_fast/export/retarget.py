"""A motion put on another character: every bone of theirs goes where the same bone of ours goes."""

from __future__ import annotations

import copy
import os
from dataclasses import replace

import numpy as np

from ..errors import LampError
from ..motion.animation import Animation, animate
from ..motion.kinematics import body_frames
from ..motion.rotations import qbetween, qcontinuous, qinv, qmul, qrot, slerp
from ..motion.skeleton import HUMANML3D, Skeleton
from . import about
from .bvh import CENTIMETRES, write_bvh
from .coordinates import Coordinates
from .glb import Buffer, add_animation, write_document, write_glb
from .motion import Motion
from .target import Target, rotation_part

SPINE = ("pelvis", "spine1", "spine2", "spine3")
FLAT_FOOT = np.radians(30)  # how far a bone from ankle to toe points down while the sole is flat, where nothing tells


def retarget(motion: Motion, target: Target) -> Animation:
    """The motion on the target's skeleton, told from its rest pose, in our axes and metres.

    Limbs, neck and feet get the directions of ours, pelvis and chest the frames, the joints of the spine, however many,
    what lies between; other joints stay as they are on their parents. The path is scaled by the length of the legs, and
    ankles that stand get the height that they have in the target's rest pose.

    Raises `LampError` for a motion of another skeleton than HumanML3D's.
    """
    if motion.skeleton != HUMANML3D:
        raise LampError(f"the motion has the skeleton {motion.skeleton.name}, expected {HUMANML3D.name}")
    turns = _source_turns(motion)
    world = _world_turns(target, turns, motion)
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
    return replace(moved, root=_pelvis_path(motion, target) - moved.joints[:, pelvis])


def save_retargeted(motion: Motion, path: str | os.PathLike, target: Target, fps: float | None = None) -> None:
    """Write a motion on a character to a .bvh or .glb file.

    From a BVH target a .bvh file gets its joints, axes, unit and channel orders; from a GLB target a .glb file is that
    file with this animation in place of its own. Else the file is in our axes, and a .glb has a body of sticks. Raises
    `LampError` as `retarget`, for other suffixes, and for a path that cannot be written.
    """
    animation = retarget(motion, target)
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
    write_bvh(path, theirs.animation(animation), units=1 / target.unit)


def _source_turns(motion: Motion) -> dict[str, np.ndarray]:
    """World rotation (T, 4) of each of our joints, from the T-pose."""
    ours = animate(motion.joints, motion.skeleton, motion.fps)
    world: list[np.ndarray] = []
    for joint, parent in enumerate(ours.parents):
        local = ours.rotations[:, joint]
        world.append(local if parent < 0 else qmul(world[parent], local))
    return dict(zip(ours.names, world))


def _world_turns(target: Target, turns: dict[str, np.ndarray], motion: Motion) -> np.ndarray:
    """How far (T, K, 4) each joint of the target turns in the world, from its rest pose."""
    skeleton = motion.skeleton
    rest = target.joints
    bones = {joint: rest[joint] - rest[parent] for parent, joint in skeleton.bones}
    t_pose = _calibrated(motion, turns)
    theirs: dict[int, np.ndarray] = {}
    for joint, name in enumerate(skeleton.joint_names):
        node, children = target.node(name), skeleton.children[joint]
        if node is not None and name not in SPINE and len(children) == 1:
            theirs[node] = qmul(turns[name], qbetween(bones[children[0]][None], t_pose[children[0]][None]))
    theirs |= _spine(target, turns, bones, skeleton)

    still = np.tile([1.0, 0, 0, 0], (len(motion.joints), 1))
    world: list[np.ndarray] = []
    for joint, parent in enumerate(target.parents):
        world.append(theirs.get(joint, still if parent < 0 else world[parent]))
    return np.stack(world, axis=1)


def _spine(
    target: Target, turns: dict[str, np.ndarray], bones: dict[int, np.ndarray], skeleton: Skeleton
) -> dict[int, np.ndarray]:
    """The joints from the pelvis to the one on which the neck hangs."""
    arrays = {joint: bone[None] for joint, bone in bones.items()}
    frames = [qinv(frame) for frame in body_frames(arrays, skeleton).values()]
    path = _path(target)
    theirs = {path[0]: qmul(turns["pelvis"], frames[0]), path[-1]: qmul(turns["spine3"], frames[1])}
    places = target.places
    for i in range(1, len(path) - 1):
        part = 3 * i / (len(path) - 1)
        low = min(int(part), 2)
        turn = slerp(turns[SPINE[low]], turns[SPINE[low + 1]], part - low)
        bone = (places[path[i + 1]] - places[path[i]])[None]
        theirs[path[i]] = qmul(turn, qbetween(bone, np.array([[0.0, 1, 0]])))
    return theirs


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


def _calibrated(motion: Motion, turns: dict[str, np.ndarray]) -> np.ndarray:
    """Our T-pose (J, 3), but for two bones that never point along its axes.

    A neck leans forwards and a sole is flat while its bone points down. What ours do on average, and while standing,
    counts as what the target does in its rest pose.
    """
    skeleton, joints = motion.skeleton, motion.joints.astype(np.float64)
    t_pose = np.array(skeleton.t_pose, dtype=np.float64)
    index = skeleton.joint_names.index
    lean = qrot(qinv(turns["spine3"]), joints[:, index("head")] - joints[:, index("neck")]).mean(0)
    lean[0] = 0
    if lean[1] > abs(lean[2]):
        t_pose[index("head")] = lean / np.linalg.norm(lean)
    for side, (ankle, toe) in enumerate((skeleton.left_foot, skeleton.right_foot)):
        down = np.asarray(motion.contacts)[:, 2 * side + 1]
        bone = joints[:, toe] - joints[:, ankle]
        pitch = np.arctan2(-bone[:, 1], np.linalg.norm(bone[:, [0, 2]], axis=-1))
        flat = float(np.median(pitch[down])) if down.any() else FLAT_FOOT
        t_pose[toe] = [0, -np.sin(flat), np.cos(flat)]
    return t_pose


def _pelvis_path(motion: Motion, target: Target) -> np.ndarray:
    """(T, 3) metres: where the target's pelvis goes."""
    skeleton, ours, rest = motion.skeleton, motion.joints.astype(np.float64), target.joints
    ankles = [skeleton.left_foot[0], skeleton.right_foot[0]]
    scale = _legs(rest[None], skeleton).mean() / _legs(ours, skeleton).mean()
    lowest = target.places[:, 1].min()
    floor = 0.0 if 0 <= lowest < 0.1 else lowest
    their_height = rest[ankles, 1].mean() - floor
    our_height = np.percentile(ours[:, ankles, 1].min(axis=1), 10)
    path = scale * ours[:, 0]
    path[:, 1] += their_height - scale * our_height
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
    """The target's own file with another animation."""
    axes = Coordinates("target", tuple(map(tuple, target.axes.T)))
    theirs = axes.animation(animation)
    turned: list[np.ndarray] = []
    for joint, parent in enumerate(theirs.parents):
        local = theirs.rotations[:, joint]
        turned.append(local if parent < 0 else qmul(turned[parent], local))
    rest = rotation_part(target.world)
    world = [qmul(turn, rest[joint][None]) for joint, turn in enumerate(turned)]
    local = [w if p < 0 else qmul(qinv(world[p]), w) for w, p in zip(world, theirs.parents)]

    pelvis = _pelvis(target)
    joints = list(range(pelvis, len(theirs.names)))
    above = np.eye(4) if theirs.parents[pelvis] < 0 else target.world[theirs.parents[pelvis]]
    place = np.concatenate([theirs.joints[:, pelvis] / target.unit, np.ones((len(theirs.root), 1))], axis=1)
    moves = Animation(
        tuple(theirs.names[j] for j in joints),
        (-1, *([0] * (len(joints) - 1))),  # only names and tracks are written
        np.zeros((len(joints), 3)),
        qcontinuous(np.stack([local[j] for j in joints], axis=1)),
        (place @ np.linalg.inv(above).T)[:, :3],
        theirs.fps,
        tuple("ZXY" for _ in joints),
    )
    document = copy.deepcopy(target.document)
    document["animations"] = []
    buffer = Buffer(document, target.data)
    add_animation(buffer, moves, [target.nodes[j] for j in joints], name, extras)
    write_document(path, document, bytes(buffer.data))
