"""Data sets from disk, in both layouts."""

import json

import numpy as np
import pytest

from lamp_fast.data import Caption, mirror_text, normalisation, open_dataset
from lamp_fast.errors import LampError
from lamp_fast.motion.features import feature_slices, features_to_joints
from lamp_fast.motion.skeleton import HUMANML3D, KIT


def write_humanml3d(folder, dim, lengths, captions):
    random = np.random.default_rng(0)
    (folder / "new_joint_vecs").mkdir()
    (folder / "texts").mkdir()
    for (name, frames), lines in zip(lengths.items(), captions, strict=True):
        np.save(folder / "new_joint_vecs" / f"{name}.npy", random.normal(size=(frames, dim)).astype(np.float32))
        (folder / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "train.txt").write_text("\n".join([*lengths, "missing"]) + "\n")
    for name in ("Mean", "Std"):
        np.save(folder / f"{name}.npy", np.ones(dim, np.float32))


def test_humanml3d_layout(tmp_path):
    lengths = {"000001": 100, "000002": 39, "000003": 250}
    captions = [
        ["a man walks.#a/DET man/NOUN#0.0#0.0", "he stops.#he/PRON#1.0#4.0", "nan times.#x/X#nan#nan"],
        ["too short.#x/X#0.0#0.0"],
        ["part.#x/X#2.0#7.5"],
    ]
    write_humanml3d(tmp_path, 263, lengths, captions)
    data = open_dataset(tmp_path, "train")
    assert data.skeleton is HUMANML3D
    assert {c.id: (len(c.features), c.texts) for c in data.clips} == {
        "000001": (100, ("a man walks.", "nan times.")),
        "000001_20_80": (60, ("he stops.",)),
        "000003_40_150": (110, ("part.",)),
    }
    assert data.clips[0].captions[0] == Caption("a man walks.", ("a/DET", "man/NOUN"))
    mean, std = normalisation(data)
    assert mean.tolist() == [1.0] * 263
    assert std[:4].tolist() == pytest.approx([0.2] * 4) and std[-4:].tolist() == pytest.approx([0.2] * 4)
    assert set(std[4:-4].tolist()) == {1.0}


def test_kit_layout_is_recognised_by_width(tmp_path):
    write_humanml3d(tmp_path, 251, {"00001": 30}, [["a man walks.#a/DET#0.0#0.0"]])
    data = open_dataset(tmp_path, "train")
    assert data.skeleton is KIT and len(data) == 1


def write_joints(folder, arrays, texts, splits):
    np.savez(folder / "clips.npz", **arrays)
    lines = [json.dumps({"id": k, "texts": t}) for k, t in texts.items()]
    (folder / "clips.jsonl").write_text("\n".join(lines))
    (folder / "splits.json").write_text(json.dumps(splits))


def test_joint_layout_and_its_mirror(tmp_path):
    random = np.random.default_rng(0)
    pose = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        pose[joint] = (pose[parent] if joint else 0) + np.asarray(HUMANML3D.offsets[joint])
    joints = pose[None] + random.normal(size=(30, 22, 3)) * 0.02 + [0, 1, 0]
    arrays = {"a": (joints * 1000).astype(np.int16), "b": (joints * 1000).astype(np.int16)}
    write_joints(tmp_path, arrays, {"a": ["wave the Left hand"], "b": ["walk"]}, {"train": ["a"], "val": ["b"]})

    data = open_dataset(tmp_path, "train", mirror=True)
    assert [(c.id, c.texts) for c in data.clips] == [
        ("a", ("wave the Left hand",)),
        ("a_mirrored", ("wave the Right hand",)),
    ]
    one, other = (features_to_joints(c.features, HUMANML3D) for c in data.clips)
    assert one.shape == (29, 22, 3)
    swapped = one[:, list(HUMANML3D.mirrored_joints)] * np.array([-1, 1, 1], np.float32)
    # The target skeleton's own left and right bones differ by up to 11 mm, and sum up along a limb.
    np.testing.assert_allclose(swapped, other, atol=0.03)
    _, std = normalisation(data)
    for part in feature_slices(HUMANML3D).values():
        assert len(set(std[part].tolist())) == 1


@pytest.mark.parametrize(
    "text, mirrored",
    [
        ("turn left, then right", "turn right, then left"),
        ("Left", "Right"),
        ("leftover bright", "leftover bright"),
        ("walks clockwise", "walks counterclockwise"),
        ("", ""),
    ],
)
def test_mirror_text(text, mirrored):
    assert mirror_text(text) == mirrored
    assert mirror_text(mirrored) == text


def test_what_is_no_data_set_gets_a_sentence(tmp_path):
    with pytest.raises(LampError, match="holds no data set"):
        open_dataset(tmp_path, "train")
    write_humanml3d(tmp_path, 100, {"1": 50}, [["x#x#0.0#0.0"]])
    with pytest.raises(LampError, match="100 values"):
        open_dataset(tmp_path, "train")
    with pytest.raises(LampError, match="no split 'test'"):
        open_dataset(tmp_path, "test")


def cut(file):
    file.write_bytes(file.read_bytes()[:-9])


DAMAGES = {
    "Mean.npy": lambda folder: (folder / "Mean.npy").unlink(),
    "Std.npy": lambda folder: cut(folder / "Std.npy"),
    "1.npy is damaged": lambda folder: cut(folder / "new_joint_vecs/1.npy"),
    r"1.npy has shape \(50, 100\), expected \(frames, 263\)": lambda folder: np.save(
        folder / "new_joint_vecs/1.npy", np.zeros((50, 100))
    ),
    "1.txt is damaged .*expected 4": lambda folder: (folder / "texts/1.txt").write_text("no tags"),
    "1.txt is damaged .*utf-8": lambda folder: (folder / "texts/1.txt").write_bytes(b"\xff#x#0.0#0.0"),
    "damaged .*JSON": lambda folder: (folder / "splits.json").write_text("{"),
    "damaged .*clips.jsonl": lambda folder: (folder / "splits.json").write_text('{"train": []}'),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_data_set_gets_a_sentence(message, tmp_path):
    write_humanml3d(tmp_path, 263, {"1": 50}, [["x#x#0.0#0.0"]])
    DAMAGES[message](tmp_path)
    with pytest.raises(LampError, match=message) as raised:
        open_dataset(tmp_path, "train")
    assert "\n" not in str(raised.value)


def test_shared_data_splits_do_not_overlap(shared_data):
    splits = json.loads((shared_data / "splits.json").read_text())
    names = [name for split in splits.values() for name in split]
    assert len(names) == len(set(names))
    assert len(open_dataset(shared_data, "val")) == len(splits["val"])
