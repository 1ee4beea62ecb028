import json
import re
import struct

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.cli.main import main
from lamp_fast.export import save
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.clip import read_clip


def clip(frames=60):
    rng = np.random.default_rng(0)
    joints = np.zeros((frames, 22, 3))
    joints[:, 0] = np.stack([0.02 * np.arange(frames), 0.9 + 0 * np.arange(frames), 0.04 * np.arange(frames)], axis=1)
    swing = np.sin(np.arange(frames) / 20 * 2 * np.pi)[:, None]
    for parent, joint in HUMANML3D.bones:
        bone = np.array(HUMANML3D.t_pose[joint]) + 0.2 * swing * rng.normal(size=3)
        joints[:, joint] = joints[:, parent] + 0.4 * bone / np.linalg.norm(bone, axis=1, keepdims=True)
    contacts = rng.random((frames, 4)) < 0.5
    return Clip(joints, HUMANML3D, 20.0, contacts, ["a person walks"] * 30 + ["waves"] * (frames - 30), seed=5)


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(clip(), "m.npz")

    def run(*arguments):
        code = main(["convert-motion", *arguments])
        out = capsys.readouterr()
        assert code == 0, out.err
        return out.out

    return run


def test_what_an_npz_tells_is_kept(convert):
    convert("m.npz", "n.npz")
    back = read_clip("n.npz")
    np.testing.assert_allclose(back.joints, clip().joints, atol=1e-5)
    np.testing.assert_array_equal(back.contacts, clip().contacts)
    assert back.prompt == "a person walks, then waves" and back.seed == 5 and back.fps == 20


@pytest.mark.parametrize("suffix", [".bvh", ".npz"])
def test_there_and_back(suffix, convert):
    convert("m.npz", f"n{suffix}")
    np.testing.assert_allclose(read_clip(f"n{suffix}").joints, clip().joints, atol=1e-4)


@pytest.mark.parametrize("fps", [20, 24, 30, 60])
def test_frame_rates(fps, convert):
    convert("m.npz", "n.bvh", "--fps", str(fps))
    back = read_clip("n.bvh")
    assert back.fps == fps and len(back) == int(59 * fps / 20) + 1
    convert("n.bvh", "o.npz", "--fps", "20")
    assert read_clip("o.npz").fps == 20


def test_edits_one_after_another(convert):
    options = ["--trim", "0.5", "2.5", "--foot-lock", "--loop", "--mirror", "--in-place", "--fps", "60"]
    out = convert("m.npz", "n.glb", *options)
    assert "loop from" in out and "cm/s" in out and "on average" in out
    data = open("n.glb", "rb").read()
    document = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    assert document["animations"][0]["extras"]["seed"] == 5


def test_several_are_joined(convert):
    convert("m.npz", "m.npz", "m.npz", "n.npz")
    assert len(read_clip("n.npz")) == 180 - 16


def test_the_time_of_a_transition(convert):
    convert("m.npz", "m.npz", "n.npz", "--transition", "1")
    assert len(read_clip("n.npz")) == 120 - 20


def test_two_at_once(convert):
    convert("m.npz", "other.bvh", "--mirror", "--fps", "30")
    convert("m.npz", "other.bvh", "n.npz", "--blend", "0")
    np.testing.assert_allclose(read_clip("n.npz").joints, clip().joints[:59], atol=1e-4)
    convert("m.npz", "other.bvh", "n.npz", "--blend", "0.5")
    assert len(read_clip("n.npz")) == 59  # the frames that both have


def test_a_skeleton_with_a_map(convert, tmp_path):
    """Joints of strange names, to be read and to be moved."""
    convert("m.npz", "strange.bvh")
    text = (tmp_path / "strange.bvh").read_text()
    names = [line.split()[1] for line in text.splitlines() if line.split()[0] in ("ROOT", "JOINT")]
    for i, name in enumerate(names):
        text = re.sub(rf"(ROOT|JOINT) {name}\n", rf"\1 x{i}\n", text)
    (tmp_path / "strange.bvh").write_text(text)
    joints = {joint: f"x{names.index(joint)}" for joint in HUMANML3D.joint_names}
    (tmp_path / "map.json").write_text(json.dumps({"joints": joints}))
    convert("strange.bvh", "n.npz", "--map", "map.json")
    np.testing.assert_allclose(read_clip("n.npz").joints, clip().joints, atol=1e-4)
    convert("m.npz", "moved.bvh", "--retarget", "strange.bvh", "--target-map", "map.json")


def test_one_of_several(convert):
    np.savez("two.npz", first=clip().joints, second=clip().joints[:20])
    convert("two.npz#second", "n.npz")
    assert len(read_clip("n.npz")) == 20


def test_every_output(convert, tmp_path):
    for suffix in (".bvh", ".glb", ".npz", ".csv", ".gif", ".png"):
        convert("m.npz", f"out{suffix}", "--trim", "0", "0.5")
        assert (tmp_path / f"out{suffix}").stat().st_size > 0
    convert("m.npz", "unity.csv", "--coordinates", "unity")
    convert("m.npz", "zxy.bvh", "--channel-order", "ZXY", "--coordinates", "blender")
    convert("m.npz", "root.bvh", "--root-joint", "--fps", "60", "--coordinates", "unreal")
    convert("m.npz", "rooted.bvh", "--root-joint")
    np.testing.assert_allclose(read_clip("rooted.bvh").joints, clip().joints, atol=1e-4)
    convert("m.npz", "other.glb", "--retarget", "out.bvh")
    convert("m.npz", "again.glb", "--retarget", "other.glb")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.npz", "n.bvh"], "no file"),
        (["m.npz", "n.fbx"], ".glb"),
        (["m.npz", "n.bvh", "--trim", "2", "1"], "cannot cut"),
        (["m.npz", "n.glb", "--coordinates", "unity"], "leave coordinates out"),
        (["m.npz", "n.bvh", "--retarget", "m.npz"], ".bvh or .glb"),
        (["m.npz", "n.bvh", "--fps", "0"], "frame"),
        (["m.npz", "n.csv", "--retarget", "n.bvh"], "n.bvh is no file"),
        (["m.npz", "n.bvh", "--blend", "0.5"], "mixes two motions"),
        (["m.npz", "m.npz", "n.bvh", "--blend", "2"], "from 0 to 1"),
    ],
)
def test_mistakes_cost_a_line(arguments, words, convert, capsys, tmp_path):
    assert main(["convert-motion", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_arrays_in_other_axes_are_not_taken_for_ours(convert):
    convert("m.npz", "unity.npz", "--coordinates", "unity")
    with pytest.raises(LampError, match="unity"):
        read_clip("unity.npz")
