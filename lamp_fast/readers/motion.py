"""One function that reads any motion file: 22 joints, metres, Y up, 20 frames a second."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.clip import Clip
from ..motion.resample import resample_joints
from ..motion.skeleton import HUMANML3D
from . import arrays, bodies, cmu, smpl
from .acclaim import open_amc
from .bodies import BodyMap
from .bvh import BvhFile, open_bvh
from .glb import animation_names, open_glb
from .hierarchy import Capture, Hierarchy

SUFFIXES = {
    ".bvh": "any skeleton",
    ".glb": "glTF, a skeleton with an animation",
    ".gltf": "the same as text",
    ".amc": "Acclaim, with its .asf beside it",
    ".npz": "joints, or AMASS with a body model",
    ".npy": "joints or features",
}
GLTF = (".glb", ".gltf")
OTHERS = {
    ".fbx": "FBX, which is not read; export it as .glb or .bvh, for example with Blender",
    ".c3d": "C3D, markers without a skeleton; solve it to a skeleton and export that as .bvh",
    ".pkl": "a pickle, which may run code and is never opened; save its joints or poses as .npz",
    ".asf": "a skeleton without motion; give its .amc",
    ".zip": "an archive; unpack it and give a motion file",
}
"""What people try."""
LEG = 0.8
"""Thigh and shin of a grown person, metres: tells the unit of a file that does not."""
LEGS = (0.2, 2.5)
"""Metres, from a small child to a giant of a game."""
BACKWARDS = -0.3
"""Cosine between toes and chest, over all frames. In 3,137 captured clips the mean is never below -0.04."""
GUESSED_UNITS = ("m", "cmu", "inch", "cm", "mm")


@dataclass(frozen=True, eq=False)
class CapturedMotion(Clip):
    """A motion that was read, as a `Clip` of HumanML3D's skeleton at 20 fps, the pelvis starting at x = z = 0.

    name: of the file, or of the clip in it. origin: (3,) float32, metres, where the start was. body: which mapping was
    used.
    """

    name: str = ""
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))
    body: str = ""


def read_motion(
    path: str | os.PathLike,
    *,
    body: BodyMap | str | os.PathLike | None = None,
    skeleton: str | os.PathLike | None = None,
    body_model: str | os.PathLike | None = None,
    fps: float | None = None,
    clip: str | None = None,
) -> CapturedMotion:
    """Read a motion file.

    Args:
        path: .bvh, .glb, .gltf, .amc, .npz or .npy.
        body: where the 22 joints come from: a mapping, or the file of one; None: told from the names in the file.
        skeleton: the .asf of an .amc file; None: the one beside it.
        body_model: for AMASS: the folder of the body model's .npz files, or one of them.
        fps: frames a second of the file, where it does not say so or says it wrongly.
        clip: which motion of an .npz, .glb or .gltf file that holds several.

    Raises:
        LampError: a file that cannot be read, is damaged, too large, or of a skeleton that is not recognised.
    """
    joints, rate, name, used = read_joints(path, body=body, skeleton=skeleton, body_model=body_model, clip=clip)
    joints = resample_joints(joints, fps or rate, HUMANML3D.fps)
    origin = joints[0, 0] * np.array([1, 0, 1], np.float32)
    words = [""] * len(joints)
    return CapturedMotion(
        joints - origin, HUMANML3D, HUMANML3D.fps, _contacts(joints), words, name=name, origin=origin, body=used
    )


def read_joints(
    path: str | os.PathLike,
    *,
    body: BodyMap | str | os.PathLike | None = None,
    skeleton: str | os.PathLike | None = None,
    body_model: str | os.PathLike | None = None,
    clip: str | None = None,
) -> tuple[np.ndarray, float, str, str]:
    """What `read_motion` begins with: joints (T, 22, 3) float32, metres, Y up, as they stand in the file; their frames
    a second, name, and which mapping was used. Arguments and errors as for `read_motion`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in OTHERS:
        raise LampError(f"{path} is {OTHERS[suffix]}")
    if suffix not in SUFFIXES:
        known = ", ".join(f"{name} ({what})" for name, what in SUFFIXES.items())
        raise LampError(f"cannot tell what {path} is; expected a file that ends in one of {known}")
    if not path.is_file():
        raise LampError(f"{path} is no file; give a motion file that exists")
    if suffix == ".npz" and clip is None and smpl.is_amass(path):
        joints, rate = smpl.read_amass(path, body_model)
        name, used = path.stem, "smpl"
    elif suffix in (".npz", ".npy"):
        joints, rate, name = arrays.read_joints(path, clip)
        used = "joints"
    else:
        capture = open_capture(path, skeleton, clip)
        joints, used = _joints(capture, path, body)
        rate, name = capture.fps, path.stem
    if not np.isfinite(joints).all():
        raise LampError(f"{path} holds NaN or infinite joints; repair or drop those frames")
    _check_person(path, joints)
    return np.ascontiguousarray(joints, np.float32), rate, name, used


def open_capture(
    path: str | os.PathLike, skeleton: str | os.PathLike | None = None, clip: str | None = None
) -> Capture:
    """A file with a skeleton of its own, its frames not yet read. Raises `LampError` for other files."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".bvh", ".amc", *GLTF):
        raise LampError(f"{path} has no skeleton; give a .bvh, .glb, .gltf or .amc file")
    if not Path(path).is_file():
        raise LampError(f"{path} is no file; give a motion file that exists")
    if suffix in GLTF:
        return open_glb(path, clip)
    return open_bvh(path) if suffix == ".bvh" else open_amc(path, skeleton)


def split_clip(path: str | os.PathLike) -> tuple[Path, str | None]:
    """A file and which of its motions is meant: "walks.npz#second" is the motion `second` of walks.npz."""
    text = os.fspath(path)
    name, _, clip = (text, "", "") if os.path.isfile(text) else text.partition("#")
    return Path(name), clip or None


def clip_names(path: str | os.PathLike) -> list[str] | list[None]:
    """What `clip` may be for a file: the names of its motions, if it holds several, else None alone.

    Raises `LampError` for files that hold none.
    """
    suffix = Path(path).suffix.lower()
    if suffix in GLTF:
        names = animation_names(path)
    elif suffix == ".npz" and not {"joints", "poses"} & arrays.npz_shapes(path).keys():
        names = arrays.motion_names(path)
    else:
        return [None]
    return names if len(names) > 1 else [None]


def _joints(capture: Capture, path: Path, body: BodyMap | str | os.PathLike | None) -> tuple[np.ndarray, str]:
    """Joints (T, 22, 3) in metres, Y up, at the rate of the file."""
    body = find_body(capture.hierarchy, path, body)
    if body is bodies.CMU and isinstance(capture, BvhFile):
        capture = cmu.restore_thorax(capture, path)
    points = body.points
    weights = body.weights(points)
    indices = [capture.hierarchy.index[name] for name in points]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        blocks = [np.einsum("jp,tpc->tjc", weights, block).astype(np.float32) for block in capture.positions(indices)]
    skip = body.skip_frames + (body.drop_rest_pose and capture.starts_at_rest())
    joints = np.concatenate(blocks)[skip:]
    if not np.isfinite(joints).all():
        raise LampError(f"{path} holds values so large that its joints are not finite; repair or drop those frames")
    if not len(joints):
        raise LampError(f"{path} holds no frames after the first {skip}, which are left out")
    rest = np.einsum("jp,pc->jc", weights, capture.hierarchy.rest[indices])
    if (body.up or capture.up or _up(rest)) == "z":
        joints = joints[..., [0, 2, 1]] * np.array([1, 1, -1], np.float32)
    return joints * np.float32(body.unit or _unit(joints, path, capture.unit)), body.name


def find_body(hierarchy: Hierarchy, path: Path, body: BodyMap | str | os.PathLike | None = None) -> BodyMap:
    """The mapping to use for a skeleton, checked against its names. Raises `LampError` where there is none."""
    if body is None:
        body = bodies.recognise(hierarchy)
        if body is None:
            open_joints = [joint for joint in bodies.JOINTS if joint not in bodies.by_name(hierarchy)]
            raise LampError(
                f"{path} has a skeleton that is not recognised (open: {', '.join(open_joints)}); "
                f"write a mapping with: lamp-fast data map {path}"
            )
    elif not isinstance(body, BodyMap):
        body = bodies.read_map(body)
    missing = body.missing(hierarchy)
    if missing:
        raise LampError(f"{path} has no {', '.join(missing)[:200]}, which the mapping {body.name!r} asks for")
    return body


def _up(rest: np.ndarray) -> str:
    """The axis along which the rest pose (22, 3) stands: "z" if it clearly does, else "y"."""

    def towards(start: str, end: str) -> np.ndarray:
        way = rest[bodies.JOINTS.index(end)] - rest[bodies.JOINTS.index(start)]
        return way / max(np.linalg.norm(way), 1e-9)

    spine, left, right = towards("pelvis", "neck"), towards("l_hip", "l_ankle"), towards("r_hip", "r_ankle")
    return "z" if spine[2] > 0.9 and left[2] < -0.9 and right[2] < -0.9 else "y"


def _unit(joints: np.ndarray, path: Path, told: float | None) -> float:
    """Metres in one unit of the file: what it tells, if that makes a person, else from the length of thigh and shin."""
    leg = _leg(joints)
    if not leg > 0:
        raise LampError(f"{path} has legs of no length; give a mapping with its unit (lamp-fast data map {path})")
    if told is not None and LEGS[0] < leg * told < LEGS[1]:
        return told
    return min((bodies.UNITS[name] for name in GUESSED_UNITS), key=lambda unit: abs(np.log(leg * unit / LEG)))


def _leg(joints: np.ndarray) -> float:
    """Length of thigh and shin, in the unit of the joints (T, 22, 3)."""
    hip, knee, ankle = (joints[:, bodies.JOINTS.index(name)] for name in ("l_hip", "l_knee", "l_ankle"))
    return float(np.median(np.linalg.norm(knee - hip, axis=1) + np.linalg.norm(ankle - knee, axis=1)))


def _check_person(path: Path, joints: np.ndarray) -> None:
    leg = _leg(joints)
    if not LEGS[0] < leg < LEGS[1]:
        raise LampError(f"{path} has legs of {leg:.3g} m; give a mapping with its unit, or joints in metres")

    def way(start: str, end: str) -> np.ndarray:
        return joints[:, bodies.JOINTS.index(end)] - joints[:, bodies.JOINTS.index(start)]

    forward = np.cross(way("r_hip", "l_hip"), way("pelvis", "neck"))
    toes = way("l_ankle", "l_foot") + way("r_ankle", "r_foot")
    scale = np.linalg.norm(forward, axis=1) * np.linalg.norm(toes, axis=1)
    if np.mean((forward * toes).sum(1) / np.maximum(scale, 1e-9)) < BACKWARDS:
        raise LampError(f"{path} has toes that point backwards: left and right are exchanged, or it is a mirror image")


def _contacts(joints: np.ndarray) -> np.ndarray:
    """(T, 4) bool: which foot joints hardly move until the next frame, as in features; the last as the one before."""
    feet = [*HUMANML3D.left_foot, *HUMANML3D.right_foot]
    steps = np.square(np.diff(joints[:, feet], axis=0)).sum(-1)
    still = steps < HUMANML3D.foot_threshold
    return np.concatenate([still, still[-1:]]) if len(still) else np.zeros((1, 4), bool)
