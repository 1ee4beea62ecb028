"""SMPL pose parameters in AMASS's form, by a body model of one's own.

The model's own skeleton is a character like others: its shape is fitted to the lengths of our bones, and `retarget`
puts the motion on it. (smplfitter fits a mesh: of joints alone it does not find the twist of bones.)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..files import new_file
from ..motion.rotations import qmul
from ..readers.bodies import JOINTS, BodyMap
from ..readers.smpl import BodyModel, load_body_model
from .motion import Motion
from .retarget import retarget
from .target import Target

LENGTH_ERROR = 0.01  # metres: how exactly bone lengths are taken, where one unit of each shape parameter costs as much
STEPS = 10
SMPL_H_JOINTS = 52
TO_AMASS = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])  # ours to Z up, as `readers.smpl` turns it back


def write_smpl(path: str | os.PathLike, motion: Motion, body_model: str | os.PathLike, gender: str = "neutral") -> None:
    """Write an AMASS .npz: poses (T, 156) axis-angle of SMPL-H, trans (T, 3), betas (10,), gender, mocap_framerate.

    body_model: the folder of the models' .npz files, or one of them. Z is up, as in AMASS; hands stay open. Raises
    `LampError` where there is no such model, for another skeleton than HumanML3D's, and for a path that cannot be
    written.
    """
    model = load_body_model(body_model, gender)
    betas = fit_shape(model, motion)
    rest = model.template + model.directions @ betas
    names, parents = JOINTS, motion.skeleton.parents
    body = BodyMap({joint: joint for joint in JOINTS}, name="smpl")
    still = np.tile([1.0, 0, 0, 0], (len(names), 1))
    target = Target(Path(body_model), names, parents, rest, body, rest, still, np.eye(3), 1.0, ("ZXY",) * len(names))
    animation = retarget(motion, target)

    rotations = animation.rotations.copy()
    rotations[:, 0] = qmul(TO_AMASS, rotations[:, 0])
    poses = np.zeros((len(rotations), 3 * SMPL_H_JOINTS), dtype=np.float32)
    poses[:, : 3 * len(names)] = _axis_angle(rotations).reshape(len(rotations), -1)
    place = animation.root[:, [0, 2, 1]] * [-1, 1, 1]
    arrays = {
        "poses": poses,
        "trans": (place - rest[0]).astype(np.float32),
        "betas": betas.astype(np.float32),
        "gender": np.array(gender),
        "mocap_framerate": np.array(float(motion.fps)),
    }
    with new_file(path) as file, open(file, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def fit_shape(model: BodyModel, motion: Motion) -> np.ndarray:
    """Shape parameters (S,) whose bones are nearest to the mean lengths of the motion's, by Gauss-Newton."""
    children = [joint for _, joint in motion.skeleton.bones]
    parents = [parent for parent, _ in motion.skeleton.bones]
    joints = motion.joints.astype(np.float64)
    wanted = np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1).mean(axis=0)
    directions = model.directions[children] - model.directions[parents]
    betas = np.zeros(directions.shape[-1])
    for _ in range(STEPS):
        bones = model.template[children] - model.template[parents] + directions @ betas
        lengths = np.maximum(np.linalg.norm(bones, axis=-1), 1e-9)
        slopes = np.einsum("jc,jcs->js", bones / lengths[:, None], directions) / LENGTH_ERROR
        missing = (wanted - lengths) / LENGTH_ERROR + slopes @ betas
        betas = np.linalg.solve(slopes.T @ slopes + np.eye(len(betas)), slopes.T @ missing)
    return betas


def _axis_angle(quaternions: np.ndarray) -> np.ndarray:
    """(..., 4) to axis-angle vectors (..., 3), at most half a turn long."""
    quaternions = np.where(quaternions[..., :1] < 0, -quaternions, quaternions)
    sine = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternions[..., :1])
    return quaternions[..., 1:] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2)
