"""SMPL poses on a body model made here: twenty-two points in a T-pose, whose legs and arms its shape makes longer."""

import numpy as np
import pytest

from lamp_fast.cli.main import main
from lamp_fast.export import save
from lamp_fast.export.smpl import write_smpl
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.clip import read_clip

PARENTS = list(HUMANML3D.parents[1:])


@pytest.fixture
def models(tmp_path):
    rest = np.zeros((52, 3))
    for parent, joint in HUMANML3D.bones:
        bone = 0.2 * np.array(HUMANML3D.t_pose[joint], float)
        bone += {1: [0, -0.1, 0], 2: [0, -0.1, 0], 13: [0, 0.05, 0], 14: [0, 0.05, 0]}.get(joint, 0)
        rest[joint] = rest[parent] + bone
    longer = np.zeros((52, 3, 2))
    for shape, names in enumerate((("knee", "ankle"), ("elbow", "wrist"))):
        for parent, joint in HUMANML3D.bones:
            grows = HUMANML3D.joint_names[joint].endswith(names)
            longer[joint, :, shape] = longer[parent, :, shape] + 0.05 * grows * np.array(HUMANML3D.t_pose[joint])
    (tmp_path / "models").mkdir()
    arrays = {"v_template": rest + [0, 0.3, 0], "shapedirs": longer, "J_regressor": np.eye(52)}
    np.savez(tmp_path / "models" / "SMPLH_NEUTRAL.npz", **arrays)
    return tmp_path / "models"


def directions(joints):
    bones = joints[:, 1:] - joints[:, PARENTS]
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


@pytest.fixture
def walk(shared_data):
    with np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz") as clips:
        joints = clips["bn_2_walk-turn-left_feminine_011"][:40].astype(np.float32) / 1000
    return Clip(joints, HUMANML3D, 30.0, np.zeros((40, 4), bool), ["a walk"] * 40)


def test_the_poses_are_the_motion(models, walk, tmp_path):
    write_smpl(tmp_path / "m.npz", walk, models)
    with np.load(tmp_path / "m.npz") as arrays:
        assert arrays["poses"].shape == (40, 156) and arrays["trans"].shape == (40, 3)
        assert np.abs(np.linalg.norm(arrays["poses"].reshape(40, 52, 3), axis=-1)).max() <= np.pi + 1e-5
    back = read_clip(tmp_path / "m.npz", body_model=models)
    assert back.fps == 30
    cos = (directions(back.joints) * directions(walk.joints)).sum(-1)
    limbs = [HUMANML3D.joint_names.index(n) - 1 for n in ("l_knee", "r_ankle", "l_elbow", "r_wrist", "l_wrist")]
    assert np.degrees(np.arccos(cos[:, limbs].clip(-1, 1))).max() < 1
    legs = [np.linalg.norm(c.joints[:, 7] - c.joints[:, 4], axis=-1).mean() for c in (back, walk)]
    assert legs[0] == pytest.approx(legs[1], abs=0.02)  # one parameter makes thighs and shins longer
    assert np.abs(back.joints[:, 0] - back.joints[:1, 0] - (walk.joints[:, 0] - walk.joints[:1, 0])).max() < 0.1


def test_command(models, walk, tmp_path, capsys):
    save(walk, tmp_path / "m.bvh")
    line = ["convert-motion", str(tmp_path / "m.bvh"), str(tmp_path / "smpl.npz"), "--smpl"]
    assert main(line) == 2 and "--body-model" in capsys.readouterr().err
    assert main([*line, "--body-model", str(models)]) == 0
    assert (
        main(["convert-motion", str(tmp_path / "smpl.npz"), str(tmp_path / "n.glb"), "--body-model", str(models)]) == 0
    )
