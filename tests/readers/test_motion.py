"""Reading any file; every raw file of the shared data becomes the joints stored under its name."""

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.motion.features import foot_contacts, joints_to_features
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion


def test_all_raw_files_become_the_stored_joints(shared_data):
    stored = {}
    for file in sorted(shared_data.glob("*.npz")):
        with np.load(file, allow_pickle=False) as arrays:
            names = {path.stem for path in (shared_data / "raw").iterdir()}
            stored |= {name: arrays[name] / 1000 for name in names & set(arrays.files)}
    files = [path for path in sorted((shared_data / "raw").iterdir()) if path.suffix in (".bvh", ".amc")]
    assert files and {path.stem for path in files} == stored.keys()
    errors = {}
    for path in files:
        joints = read_motion(path).joints
        assert joints.shape == stored[path.stem].shape, path.stem
        errors[path.stem] = np.linalg.norm(joints - stored[path.stem], axis=-1).max()
    # 0.87 mm of it are the rounding of what is stored.
    assert max(errors.values()) < 1e-3, errors


def test_contacts_are_those_of_the_features(shared_data):
    motion = read_motion(shared_data / "raw" / "cmu_012_01.bvh")
    expected = foot_contacts(joints_to_features(motion.joints, HUMANML3D))
    assert (motion.contacts[:-1] == expected).mean() > 0.95 and (motion.contacts[-1] == motion.contacts[-2]).all()


def test_a_motion_that_was_read_can_be_written(write_bvh_file, tmp_path):
    motion = read_motion(write_bvh_file())
    assert motion.contacts.shape == (len(motion), 4) and motion.prompt == "" and motion.name == "figure"
    for name in ("again.bvh", "again.npz"):
        save(motion, tmp_path / name)
        again = read_motion(tmp_path / name)
        assert np.linalg.norm(again.joints - motion.joints, axis=-1).max() < 1e-3


@pytest.mark.parametrize(
    "name, message",
    [("motion.trc", "ends in one of .bvh"), ("missing.bvh", "is no file"), ("folder.bvh", "is no file"), ("", "tell")],
)
def test_what_cannot_be_read_gets_a_sentence(tmp_path, name, message):
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(LampError, match=message):
        read_motion(tmp_path / name)


@pytest.mark.parametrize("suffix", [".fbx", ".c3d", ".pkl", ".asf", ".zip", ".txt"])
def test_what_people_try_gets_advice(suffix, tmp_path):
    with pytest.raises(LampError, match="export it|solve it|save its|give its|unpack it|expected a file"):
        read_motion(tmp_path / f"take{suffix}")
