"""Motion cut, joined, mixed, mirrored, looped: clips in, clips out, the ones given stay as they are.

Poses are mixed bone by bone: directions along the shorter arc, lengths in proportion, so that no bone shrinks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import LampError
from .clip import Clip
from .features import mirror_joints
from .heading import headings, turned
from .resample import resample_joints
from .skeleton import Skeleton

SEAM = 0.25  # seconds in which the end of a loop comes round to its start
MOST_CANDIDATES = 1500  # frames of a clip that are compared with each other; of longer ones every second, third …
STILL = 0.5  # metres a second, all joints together: what a body moves that stands
OTHER_SIDE = {"left": "right", "right": "left"}


def mirror(clip: Clip) -> Clip:
    """Left and right change places, in the body and in the words."""
    joints = mirror_joints(clip.joints, clip.skeleton)
    prompts = [_other_side(prompt) for prompt in clip.frame_prompts]
    return replace(clip, joints=joints, contacts=np.asarray(clip.contacts)[:, [2, 3, 0, 1]], frame_prompts=prompts)


def _other_side(text: str) -> str:
    def swap(match: re.Match) -> str:
        word = OTHER_SIDE[match[0].lower()]
        return word.upper() if match[0].isupper() else word.capitalize() if match[0][0].isupper() else word

    return re.sub(r"left|right", swap, text, flags=re.IGNORECASE)


def trim(clip: Clip, start: float = 0.0, end: float | None = None) -> Clip:
    """The seconds from `start` up to `end`. Raises `LampError` where no frame lies between them."""
    first = round(start * clip.fps) if np.isfinite(start) else -1
    last = len(clip) if end is None else round(end * clip.fps) if np.isfinite(end) else -1
    if not 0 <= first < last <= len(clip):
        raise LampError(f"cannot cut seconds {start} to {end} out of a motion of {clip.seconds:.2f} seconds")
    return _frames(clip, slice(first, last))


def _frames(clip: Clip, which: slice | np.ndarray) -> Clip:
    prompts = np.asarray(clip.frame_prompts, dtype=object)[which].tolist()
    return replace(clip, joints=clip.joints[which], contacts=np.asarray(clip.contacts)[which], frame_prompts=prompts)


def resample(clip: Clip, fps: float) -> Clip:
    """The same motion at another frame rate, from its first frame to its last. `LampError` for fps not above zero."""
    count = len(resample_joints(clip.joints, clip.fps, fps))
    place = np.minimum(np.arange(count) * (clip.fps / fps), len(clip) - 1)
    before = np.floor(place + 1e-9).astype(int)
    after = np.minimum(before + 1, len(clip) - 1)
    joints = mix(clip.joints[before], clip.joints[after], place - before, clip.skeleton)
    nearest = np.round(place).astype(int)
    return replace(_frames(clip, nearest), joints=joints, fps=float(fps))


def in_place(clip: Clip) -> Clip:
    """The same motion on the spot: the pelvis stays over the origin, and keeps its height and its heading."""
    return replace(clip, joints=clip.joints - clip.joints[:, :1] * [1, 0, 1])


def concatenate(clips: Sequence[Clip], seconds: float = 0.4) -> Clip:
    """One motion after the other, each moved and turned to where the one before it leads.

    seconds: how long the end of one and the start of the next are mixed; half the shorter one at most. Clips of another
    frame rate are brought to that of the first. Raises `LampError` for no clips or for different skeletons.
    """
    if not clips:
        raise LampError("there is nothing to join; give at least one clip")
    joined = clips[0]
    for clip in clips[1:]:
        _same_skeleton(joined, clip)
        clip = clip if clip.fps == joined.fps else resample(clip, joined.fps)
        overlap = max(1, min(round(seconds * joined.fps), len(joined) // 2, len(clip) // 2))
        middle = overlap // 2
        clip = _moved_onto(clip, middle, joined, len(joined) - overlap + middle)
        old, new = _frames(joined, slice(len(joined) - overlap, None)), _frames(clip, slice(0, overlap))
        weight = _smoothstep((np.arange(overlap) + 1) / (overlap + 1))
        contacts = np.concatenate([old.contacts[:middle], new.contacts[middle:]])
        prompts = [*old.frame_prompts[:middle], *new.frame_prompts[middle:]]
        joints = mix(old.joints, new.joints, weight, joined.skeleton)
        both = replace(old, joints=joints, contacts=contacts, frame_prompts=prompts)
        parts = [_frames(joined, slice(0, len(joined) - overlap)), both, _frames(clip, slice(overlap, None))]
        joined = replace(
            joined,
            joints=np.concatenate([part.joints for part in parts]),
            contacts=np.concatenate([part.contacts for part in parts]),
            frame_prompts=[prompt for part in parts for prompt in part.frame_prompts],
        )
    return joined


def _moved_onto(clip: Clip, frame: int, other: Clip, other_frame: int) -> Clip:
    """`clip` as a whole turned and moved along the ground, so that in `frame` it is where `other` is in its frame."""
    turn = headings(other.joints, other.skeleton)[other_frame] - headings(clip.joints, clip.skeleton)[frame]
    joints = turned(clip.joints, np.full(clip.joints.shape[:2], turn))
    step = (other.joints[other_frame, 0] - joints[frame, 0]) * [1, 0, 1]
    return replace(clip, joints=joints + step)


def blend(a: Clip, b: Clip, weight: float | np.ndarray) -> Clip:
    """Part a, part b, for as many frames as both have: pose, path and turns mixed, from where a starts.

    weight: of b, a number or (T,).

    Raises `LampError` for different skeletons or frame rates, and for weights that do not fit or leave 0 to 1.
    """
    _same_skeleton(a, b)
    if a.fps != b.fps:
        raise LampError(f"the motions have {a.fps:g} and {b.fps:g} frames a second; resample one of them")
    frames = min(len(a), len(b))
    weight = np.asarray(weight, dtype=np.float64)
    if weight.shape not in ((), (frames,)) or not ((weight >= 0) & (weight <= 1)).all():
        raise LampError(f"the weight is to be a number from 0 to 1, or {frames} of them")
    weight = np.broadcast_to(weight, (frames,))
    a, b = _frames(a, slice(0, frames)), _frames(b, slice(0, frames))
    (yaw_a, root_a, pose_a), (yaw_b, root_b, pose_b) = _facing_front(a), _facing_front(b)
    before = np.maximum(np.arange(frames) - 1, 0)
    turns = (1 - weight) * (yaw_a - yaw_a[before]) + weight * (yaw_b - yaw_b[before])
    yaw = yaw_a[0] + np.cumsum(turns)
    steps_a, steps_b = (turned(root - root[before], -yaw) for root, yaw in ((root_a, yaw_a), (root_b, yaw_b)))
    steps = turned((1 - weight)[:, None] * steps_a + weight[:, None] * steps_b, yaw)
    joints = (
        turned(mix(pose_a, pose_b, weight, a.skeleton), yaw[:, None]) + (root_a[0] + np.cumsum(steps, axis=0))[:, None]
    )
    nearer = np.where(weight[:, None] < 0.5, a.contacts, b.contacts)
    prompts = [p if w < 0.5 else q for p, q, w in zip(a.frame_prompts, b.frame_prompts, weight)]
    return replace(a, joints=joints, contacts=nearer, frame_prompts=prompts)


@dataclass(frozen=True)
class Loop:
    """Frames from `start` up to `end`.

    gap: metres between the joints of those two frames, on average, seen from where the character is and faces.
    """

    start: int
    end: int
    gap: float


def find_loop(clip: Clip, shortest: float = 0.8) -> Loop:
    """The two frames, at least `shortest` seconds apart, in which pose and velocities are most alike.

    The difference counts in proportion to how much the body moves between them: a walk wins over standing still.

    Raises `LampError` where the clip is not longer than that.
    """
    least = max(2, round(shortest * clip.fps))
    if len(clip) <= least:
        raise LampError(f"a motion of {clip.seconds:.2f} seconds holds no loop of {shortest} seconds or more")
    _, _, pose = _facing_front(clip)
    speed = np.gradient(pose, axis=0) * clip.fps
    told = np.concatenate([pose, SEAM * speed], axis=1).reshape(len(clip), -1)
    squares = (told**2).sum(axis=1)
    moved = np.cumsum((speed**2).sum(axis=(1, 2)))
    best, start, end = np.inf, 0, least

    def search(starts: Iterable[int], ends_of: Callable[[int], np.ndarray]) -> None:
        nonlocal best, start, end
        for first in starts:
            ends = ends_of(first)
            distances = squares[first] + squares[ends] - 2 * told[ends] @ told[first]
            distances /= STILL**2 + (moved[ends] - moved[first]) / (ends - first)
            nearest = int(distances.argmin())
            if distances[nearest] < best:
                best, start, end = distances[nearest], first, int(ends[nearest])

    stride = -(-len(clip) // MOST_CANDIDATES)
    search(range(0, len(clip) - least, stride), lambda first: np.arange(first + least, len(clip), stride))
    if stride > 1:
        around = range(max(start - stride, 0), min(start + stride, len(clip) - 1 - least) + 1)
        last = min(end + stride + 1, len(clip))
        search(around, lambda first: np.arange(min(max(end - stride, first + least), last - 1), last))
    return Loop(start, end, float(np.linalg.norm(pose[start] - pose[end], axis=-1).mean()))


def loop(clip: Clip, shortest: float = 0.8) -> Clip:
    """The best loop in a clip, its end bent towards its start, so that it may be repeated without a jump.

    The path is kept: repeated, each round starts where and as turned as the last one ended; see `in_place`. Errors as
    for `find_loop`.
    """
    found = find_loop(clip, shortest)
    yaw, root, pose = _facing_front(clip)
    frames = np.arange(found.start, found.end)
    seam = min(round(SEAM * clip.fps), len(frames) - 1)
    weight = _smoothstep(np.clip((frames - (found.end - seam) + 1) / (seam + 1), 0, 1))[:, None, None]
    bent = pose[frames] + weight * (pose[found.start] - pose[found.end])
    lengths = _lengths(pose[frames], clip.skeleton)
    wanted = lengths + weight[..., 0] * (lengths[0] - _lengths(pose[[found.end]], clip.skeleton)[0])
    bent = _stretched(bent, wanted, clip.skeleton)
    return replace(_frames(clip, frames), joints=turned(bent, yaw[frames, None]) + root[frames, None])


def mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Poses (T, J, 3) between those of a and b; weight: (T,) of b. Exactly a where it is 0, and b where it is 1."""
    weight = np.asarray(weight)[:, None]
    joints = np.empty(a.shape, dtype=np.float64)
    joints[:, 0] = (1 - weight) * a[:, 0] + weight * b[:, 0]
    for parent, joint in skeleton.bones:
        joints[:, joint] = joints[:, parent] + _mixed_bone(
            a[:, joint] - a[:, parent], b[:, joint] - b[:, parent], weight
        )
    return joints


def _mixed_bone(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Vectors (T, 3) whose directions lie on the shorter arc from those of a to those of b."""
    length_a, length_b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    from_, to = a / np.maximum(length_a, 1e-9), b / np.maximum(length_b, 1e-9)
    angle = np.arccos(np.clip((from_ * to).sum(-1, keepdims=True), -1, 1))
    near = (angle < 1e-3) | (angle > np.pi - 1e-3)  # opposite bones have no shorter arc: through the middle, then
    sine = np.where(near, 1, np.sin(angle))
    part_a = np.where(near, 1 - weight, np.sin((1 - weight) * angle) / sine)
    part_b = np.where(near, weight, np.sin(weight * angle) / sine)
    return (part_a * from_ + part_b * to) * ((1 - weight) * length_a + weight * length_b)


def _facing_front(clip: Clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heading (T,), place of the root on the ground (T, 3), and joints (T, J, 3) as seen from there, facing +Z."""
    joints = clip.joints.astype(np.float64)
    yaw, root = headings(joints, clip.skeleton), joints[:, 0] * [1, 0, 1]
    return yaw, root, turned(joints - root[:, None], -yaw[:, None])


def _lengths(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(T, J-1) of all bones, ordered by joint."""
    parents = list(skeleton.parents[1:])
    return np.linalg.norm(joints[:, 1:] - joints[:, parents], axis=-1)


def _stretched(joints: np.ndarray, lengths: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The same directions of all bones, other lengths (T, J-1)."""
    result = joints.copy()
    for parent, joint in skeleton.bones:
        bone = joints[:, joint] - joints[:, parent]
        size = np.maximum(np.linalg.norm(bone, axis=-1), 1e-9)
        result[:, joint] = result[:, parent] + bone * (lengths[:, joint - 1] / size)[:, None]
    return result


def _smoothstep(part: np.ndarray) -> np.ndarray:
    return part * part * (3 - 2 * part)


def _same_skeleton(a: Clip, b: Clip) -> None:
    if a.skeleton != b.skeleton:
        raise LampError(f"the motions have different skeletons, {a.skeleton.name} and {b.skeleton.name}")
