"""AMASS: poses of the SMPL family. Their joints need a body model, which everyone gets from its makers.

Joints follow from a model's template, shape directions and joint regressor alone, so no mesh is moved and no library
is needed (Loper et al., "SMPL: A Skinned Multi-Person Linear Model", eq. 2-4 and 10).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LampError
from ..motion.rotations import expmap_to_quaternion, quaternion_to_matrix
from ..motion.skeleton import HUMANML3D
from .arrays import npz_shapes, read_npz

BLOCK = 4096
JOINTS = HUMANML3D.num_joints
"""The first 22 joints of SMPL, SMPL-H and SMPL-X are HumanML3D's."""
SHAPES = 10
"""Shape parameters that count, as in HumanML3D's recipe."""
RATES = ("mocap_framerate", "mocap_frame_rate")


@dataclass(frozen=True)
class BodyModel:
    """template: (22, 3) joints of the mean body. directions: (22, 3, S) metres for one unit of each shape parameter."""

    template: np.ndarray
    directions: np.ndarray

    def joints(self, poses: np.ndarray, shape: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Joints (T, 22, 3) float32 of poses (T, 22, 3), axis-angle, of one shape (S,), at root translations (T, 3)."""
        count = min(len(shape), self.directions.shape[-1])
        rest = self.template + self.directions[..., :count] @ shape[:count]
        blocks = [slice(start, start + BLOCK) for start in range(0, len(poses), BLOCK)]
        return np.concatenate([self._place(poses[block], rest, place[block]) for block in blocks]).astype(np.float32)

    @staticmethod
    def _place(poses: np.ndarray, rest: np.ndarray, place: np.ndarray) -> np.ndarray:
        local = quaternion_to_matrix(expmap_to_quaternion(poses))
        turns, joints = [local[:, 0]], [rest[0] + place]
        for parent, joint in HUMANML3D.bones:
            joints.append(joints[parent] + turns[parent] @ (rest[joint] - rest[parent]))
            turns.append(turns[parent] @ local[:, joint])
        return np.stack(joints, axis=1)


def load_body_model(path: str | os.PathLike, gender: str) -> BodyModel:
    """A model from an .npz file, or from a folder of them by gender.

    Known in a folder: `<gender>/model.npz` as AMASS offers SMPL-H, and `SMPLH_<GENDER>.npz`, `SMPLX_<GENDER>.npz`,
    `SMPL_<GENDER>.npz`. Raises `LampError` where there is none, and for a file that is no body model.
    """
    path = Path(path)
    file = path if path.is_file() else _find_model(path, gender)
    if file.suffix.lower() != ".npz":
        raise LampError(f"{file} is no .npz file; of the body models the .npz editions are read, pickles never")
    needed = {"v_template", "shapedirs", "J_regressor"}
    shapes = npz_shapes(file)
    if not needed <= shapes.keys():
        raise LampError(
            f"{file} lacks {', '.join(sorted(needed - shapes.keys()))}; expected a body model of SMPL's kind"
        )
    vertices = shapes["v_template"][0] if shapes["v_template"] else 0
    fits = (
        shapes["v_template"] == (vertices, 3)
        and shapes["shapedirs"][:2] == (vertices, 3)
        and len(shapes["shapedirs"]) == 3
        and len(shapes["J_regressor"]) == 2
        and shapes["J_regressor"][0] >= JOINTS
        and shapes["J_regressor"][1] == vertices
    )
    if not fits:
        raise LampError(f"{file} has arrays of shapes that do not fit together; expected a body model of SMPL's kind")
    arrays = read_npz(file, needed)
    regressor = arrays["J_regressor"][:JOINTS].astype(np.float64)
    directions = arrays["shapedirs"][..., :SHAPES].astype(np.float64)
    return BodyModel(regressor @ arrays["v_template"], np.einsum("jv,vcs->jcs", regressor, directions))


def _find_model(folder: Path, gender: str) -> Path:
    if not folder.is_dir():
        raise LampError(f"{folder} holds no body model; give the folder of the SMPL-H, SMPL-X or SMPL .npz files")
    names = [f"{gender}/model.npz", *(f"{kind}_{gender.upper()}.npz" for kind in ("SMPLH", "SMPLX", "SMPL"))]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise LampError(f"{folder} has no {gender} body model; expected one of {', '.join(names)} in it")


def is_amass(path: str | os.PathLike) -> bool:
    return {"poses", "trans"} <= npz_shapes(path).keys()


def read_amass(
    path: str | os.PathLike, body_model: str | os.PathLike | None, neutral: str = "neutral"
) -> tuple[np.ndarray, float]:
    """Joints (T, 22, 3) float32 of an AMASS file, in metres, Y up, at its own frame rate; and that rate.

    neutral: the model of motions that tell no gender. Raises `LampError` without a body model (it comes with a licence
    of its own from its makers), and for arrays that are missing or do not fit.
    """
    if body_model is None:
        raise LampError(
            f"{path} holds poses of AMASS, whose joints need a body model: register at mano.is.tue.mpg.de (SMPL-H) or "
            "smpl-x.is.tue.mpg.de, and name the folder of its .npz files (body_model=, --body-model)"
        )
    shapes = npz_shapes(path)
    rate = next((name for name in RATES if name in shapes), None)
    frames = shapes["poses"][0] if shapes["poses"] else 0
    fits = len(shapes["poses"]) == 2 and shapes["poses"][1] >= 3 * JOINTS and shapes["trans"] == (frames, 3)
    if not fits or rate is None or not frames or len(shapes.get("betas", ())) != 1:
        raise LampError(
            f"{path} is no AMASS motion: expected poses (T, 66 or more), trans (T, 3), betas and a frame rate"
        )
    arrays = read_npz(path, {"poses", "trans", "betas", rate} | ({"gender"} & shapes.keys()))
    values = [arrays[name] for name in ("poses", "trans", "betas", rate)]
    if not all(np.issubdtype(a.dtype, np.number) and np.isfinite(a).all() for a in values):
        raise LampError(f"{path} holds NaN, infinite or other values that are no numbers; repair or drop those frames")
    fps = float(arrays[rate].reshape(-1)[0]) if arrays[rate].size == 1 else 0.0
    if not 1 <= fps <= 1e4:
        raise LampError(f"{path} has a frame rate of {fps:g}, expected frames a second")
    model = load_body_model(body_model, _gender(arrays.get("gender")) or neutral)
    poses = arrays["poses"][:, : 3 * JOINTS].reshape(frames, JOINTS, 3).astype(np.float64)
    joints = model.joints(poses, arrays["betas"].astype(np.float64)[:SHAPES], arrays["trans"].astype(np.float64))
    # Z up to Y up, and a half turn: where HumanML3D's recipe ends, too.
    return joints[..., [0, 2, 1]] * np.array([-1, 1, 1], np.float32), fps


def _gender(value: np.ndarray | None) -> str:
    text = "" if value is None or value.size != 1 else value.reshape(-1)[0]
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
    return text.lower() if text.lower() in ("male", "female") else ""
