"""HumanML3D's recipe on an AMASS of two small captures, and a body model of random numbers around a person."""

import json

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.cli.main import main
from lamp_fast.data import open_dataset
from lamp_fast.data.humanml3d import build_humanml3d
from lamp_fast.motion.features import features_to_joints, joints_to_features, mirror_joints
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.smpl import load_body_model, read_amass

INDEX = """source_path,start_frame,end_frame,new_name
./pose_data/KIT/3/walk_poses.npy,0,60,000000.npy
./pose_data/KIT/3/walk_poses.npy,20,75,000001.npy
./pose_data/MPI_HDM05/dg/turn_poses.npy,5,50,000002.npy
./pose_data/humanact12/humanact12/sit.npy,0,-1,000003.npy
./pose_data/CMU/01/missing_poses.npy,0,-1,000004.npy
"""


@pytest.fixture
def amass(tmp_path):
    """-> folder of captures, index, body model."""
    random = np.random.default_rng(0)
    rest = np.zeros((22, 3))
    for parent, joint in HUMANML3D.bones:
        rest[joint] = rest[parent] + np.linalg.norm(HUMANML3D.offsets[joint]) * np.array(HUMANML3D.t_pose[joint])
    for gender in ("male", "female"):
        (tmp_path / "smplh" / gender).mkdir(parents=True)
        arrays = {"v_template": rest, "shapedirs": random.normal(size=(22, 3, 16)) * 0.002, "J_regressor": np.eye(22)}
        np.savez(tmp_path / "smplh" / gender / "model.npz", **arrays)

    def capture(place, frames, fps, gender):
        file = tmp_path / "amass" / place
        file.parent.mkdir(parents=True)
        sway = np.sin(np.linspace(0, 9, frames)[:, None] + random.normal(size=(1, 156))) * 0.3
        sway[:, :3] = [np.pi / 2, 0, 0]  # AMASS: Z up
        trans = np.linspace([0, 0, 1], [1, 2, 1], frames)
        values = {"poses": sway, "trans": trans, "betas": random.normal(size=16), "mocap_framerate": np.array(fps)}
        np.savez(file, gender=np.array(gender), **values)

    capture("KIT/3/walk_poses.npz", 400, 100.0, "male")
    capture("MPI_HDM05/dg/turn_poses.npz", 800, 120.0, "neutral")
    (tmp_path / "amass/humanact12/humanact12").mkdir(parents=True)
    still = np.tile(rest + [0, 1, 0], (45, 1, 1)) + np.sin(np.arange(45) / 5)[:, None, None] * 0.01
    np.save(tmp_path / "amass/humanact12/humanact12/sit.npy", np.pad(still, ((0, 0), (0, 2), (0, 0))))

    labels = tmp_path / "repository" / "HumanML3D"
    (labels / "texts").mkdir(parents=True)
    (labels.parent / "index.csv").write_text(INDEX)
    for i in range(4):
        for prefix in ("", "M"):
            (labels / "texts" / f"{prefix}{i:06}.txt").write_text("a person walks.#a/DET#0.0#0.0\n")
    (labels / "train.txt").write_text("000000\n000001\nM000000\n000004\n")
    (labels / "val.txt").write_text("000002\n")
    (labels / "test.txt").write_text("000003\n")
    return tmp_path / "amass", labels.parent / "index.csv", tmp_path / "smplh"


def test_the_recipe(amass, tmp_path):
    captures, index, smplh = amass
    report = build_humanml3d(captures, index, tmp_path / "out", smplh, workers=1)
    assert report.clips == 4 and [reason for _, reason in report.skipped if "missing_poses.npz" not in reason] == []

    walk, fps = read_amass(captures / "KIT/3/walk_poses.npz", smplh)
    assert fps == 100
    # AMASS keeps X to the side and Z up; the recipe ends with -X, Z, Y.
    np.testing.assert_allclose(walk[:, 0, 1], walk[0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(walk[-1, 0] - walk[0, 0], [-1, 0, 2], atol=1e-6)
    turn, _ = read_amass(captures / "MPI_HDM05/dg/turn_poses.npz", smplh, neutral="female")
    expected = {
        "000000": walk[::5][:60],
        "000001": walk[::5][20:75],
        "000002": turn[::6][60:][5:50],
        "000003": np.load(captures / "humanact12/humanact12/sit.npy")[:, :22].astype(np.float32),
    }
    for name, joints in expected.items():
        for prefix, motion in (("", joints), ("M", mirror_joints(joints, HUMANML3D))):
            features = np.load(tmp_path / "out" / "new_joint_vecs" / f"{prefix}{name}.npy")
            np.testing.assert_allclose(features, joints_to_features(motion, HUMANML3D), atol=1e-6)
            positions = np.load(tmp_path / "out" / "new_joints" / f"{prefix}{name}.npy")
            np.testing.assert_allclose(positions, features_to_joints(features, HUMANML3D), atol=1e-6)

    train = open_dataset(tmp_path / "out", "train")
    assert [clip.id for clip in train.clips] == ["000000", "000001", "M000000"]
    everything = np.concatenate([np.load(file) for file in sorted((tmp_path / "out" / "new_joint_vecs").iterdir())])
    mean, std = train.statistics
    np.testing.assert_allclose(mean, everything.mean(0), atol=1e-5)
    np.testing.assert_allclose(std[0], everything.std(0)[0], rtol=1e-3)


def test_a_second_run_makes_only_what_is_missing(amass, tmp_path):
    captures, index, smplh = amass
    build_humanml3d(captures, index, tmp_path / "out", smplh, workers=1)
    kept = tmp_path / "out" / "new_joints" / "000002.npy"
    stamp = kept.stat().st_ino
    (tmp_path / "out" / "new_joints" / "M000001.npy").unlink()
    report = build_humanml3d(captures, index, tmp_path / "out", smplh, workers=1)
    assert report.clips == 4 and report.kept == 2 and kept.stat().st_ino == stamp
    assert (tmp_path / "out" / "new_joints" / "M000001.npy").is_file()


def test_the_command(amass, tmp_path, capsys):
    captures, index, smplh = amass
    arguments = ["data", "prepare", str(captures), str(tmp_path / "out"), "--index", str(index), "--workers", "1"]
    assert main([*arguments, "--body-model", str(smplh)]) == 0
    assert "4 clips" in (output := capsys.readouterr().out) and "missing_poses.npz" in output
    assert len(json.loads((tmp_path / "out" / "report.json").read_text())["skipped"]) == 1


def test_what_the_recipe_cannot_use_gets_a_sentence(amass, tmp_path):
    captures, index, smplh = amass
    with pytest.raises(LampError, match="gives none of the motions"):
        build_humanml3d(tmp_path / "empty", index, tmp_path / "out", smplh, workers=1)
    for text, message in (
        ("a,b\n1,2\n", "no index of HumanML3D"),
        ("source_path,start_frame,end_frame,new_name\n", "lists no motions"),
        (INDEX.replace(",60,", ",sixty,"), "no index of HumanML3D"),
        (INDEX.replace("KIT/3", "../.."), "a place below pose_data"),
    ):
        index.write_text(text)
        with pytest.raises(LampError, match=message):
            build_humanml3d(captures, index, tmp_path / "out", smplh, workers=1)
    (index.parent / "HumanML3D" / "train.txt").unlink()
    with pytest.raises(LampError, match="unpack texts.zip"):
        build_humanml3d(captures, index, tmp_path / "out", smplh, workers=1)


def test_the_model_is_chosen_by_gender(amass):
    _, _, smplh = amass
    male, female = (load_body_model(smplh, gender) for gender in ("male", "female"))
    assert not np.array_equal(male.directions, female.directions) and male.directions.shape == (22, 3, 10)
