"""BVH of any maker, channel order, unit and frame rate; damaged files get a sentence."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.motion.resample import resample_joints
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion
from lamp_fast.readers.bvh import frame_rate, open_bvh

MILLIMETRE = 1e-3


def distance(motion, expected) -> float:
    assert motion.joints.dtype == np.float32 and motion.joints.shape == expected.shape
    return float(np.linalg.norm(motion.joints - expected, axis=-1).max())


def test_skeletons_of_all_makers(maker, figure, write_bvh_file):
    motion = read_motion(write_bvh_file(maker))
    assert distance(motion, figure.expected()) < 0.1 * MILLIMETRE
    np.testing.assert_allclose(motion.origin, figure.root[0] * [1, 0, 1], atol=1e-5)


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254])
def test_any_channel_order_and_unit(figure, write_bvh_file, order, unit):
    assert distance(read_motion(write_bvh_file(order=order, unit=unit)), figure.expected()) < 0.1 * MILLIMETRE


def test_a_skeleton_that_stands_along_z_is_turned_up(figure, write_bvh_file):
    assert distance(read_motion(write_bvh_file(up="z")), figure.expected()) < 0.1 * MILLIMETRE


@pytest.mark.parametrize("frame_time, fps", [("0.0083333", 120), ("0.033333", 30), ("0.0166667", 60), ("0.04", 25)])
def test_any_frame_rate(figure, write_bvh_file, frame_time, fps):
    motion = read_motion(write_bvh_file(frame_time=frame_time))
    expected = resample_joints(figure.expected(), fps, 20)
    assert motion.fps == 20 and distance(motion, expected) < 0.1 * MILLIMETRE


def test_odd_frame_rates_stay_as_they_are():
    assert frame_rate(1 / 29.97) == pytest.approx(29.97)
    assert frame_rate(0.008333) == 120


@pytest.mark.parametrize("options", [{}, {"fps": 30}, {"channel_order": "XYZ"}], ids=str)
def test_what_is_written_here_is_read_again(write_bvh_file, tmp_path, options):
    motion = read_motion(write_bvh_file())
    save(motion, tmp_path / "own.bvh", **options)
    again = read_motion(tmp_path / "own.bvh")
    assert again.body == "humanml3d" and distance(again, motion.joints) < 15 * MILLIMETRE
    if "fps" not in options:
        assert distance(again, motion.joints) < MILLIMETRE


def test_windows_line_ends_and_byte_order_mark(figure, write_bvh_file):
    path = write_bvh_file(edit=lambda text: "\ufeff" + text.replace("\n", "\r\n").replace(" ", "\t", 3))
    assert distance(read_motion(path), figure.expected()) < 0.1 * MILLIMETRE


def test_a_mapping_file_names_the_joints_of_any_other_skeleton(figure, write_bvh_file, tmp_path):
    names = [f"bone {i}" for i in range(22)]
    path = write_bvh_file(names=names, unit=0.0254)
    with pytest.raises(LampError, match="not recognised .* lamp-fast data map"):
        read_motion(path)
    mapping = {"joints": dict(zip(HUMANML3D.joint_names, names)), "unit": "inch", "skip_frames": 2}
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    joints = figure.joints[2:]
    assert distance(read_motion(path, body=tmp_path / "map.json"), joints - joints[0, 0] * [1, 0, 1]) < MILLIMETRE


def test_a_joint_can_lie_between_two_points(figure, write_bvh_file, tmp_path):
    names = [f"bone {i}" for i in range(22)]
    joints = dict(zip(HUMANML3D.joint_names, names)) | {"spine2": ["bone 3", "bone 9", 0.25]}
    (tmp_path / "map.json").write_text(json.dumps({"joints": joints}))
    expected = figure.expected()
    expected[:, 6] = 0.75 * expected[:, 3] + 0.25 * expected[:, 9]
    motion = read_motion(write_bvh_file(names=names), body=tmp_path / "map.json")
    assert distance(motion, expected) < 0.1 * MILLIMETRE


def cut_frames(text):
    return text[: text.rindex("\n", 0, -2000)]


def replace_last_number(word):
    return lambda text: text.rstrip().rpartition(" ")[0] + f" {word}\n"


DAMAGES = {
    "empty": (lambda text: "", "does not begin with HIERARCHY"),
    "no BVH": (lambda text: "PK\x03\x04" + text, "does not begin with HIERARCHY"),
    "hierarchy cut": (lambda text: text[: text.index("MOTION")], "no line MOTION"),
    "no frames": (lambda text: text[: text.index("Frames")], "expected 'Frames: '"),
    "frames cut": (cut_frames, r"announces 31 frames and holds \d+"),
    "too many frames": (lambda text: text + text.splitlines()[-1], "announces 31 frames and holds more"),
    "half a line": (lambda text: text.rstrip().rpartition(" ")[0], "frame 31, has 68 numbers, expected 69"),
    "NaN": (replace_last_number("nan"), "frame 31, has the value nan"),
    "infinite": (replace_last_number("1e999"), "frame 31, has the value 1e999"),
    "decimal comma": (replace_last_number("1,5"), "write decimal points, not commas"),
    "words": (replace_last_number("left"), "'left' where a number was expected"),
    "a lying count": (lambda text: text.replace("Frames: 31", "Frames: 9" + "9" * 30), "cut it into takes"),
    "no frame": (lambda text: text.replace("Frames: 31", "Frames: 0"), "holds no frames"),
    "negative frames": (lambda text: text.replace("Frames: 31", "Frames: -31"), "whole number"),
    "no time": (lambda text: text.replace("Time: 0.05", "Time: 0"), "frame time of 0 seconds"),
    "time backwards": (lambda text: text.replace("Time: 0.05", "Time: -0.05"), "frame time of -0.05"),
    "wrong channel count": (lambda text: text.replace("CHANNELS 3", "CHANNELS 4", 1), "CHANNELS of .* says"),
    "unknown channel": (lambda text: text.replace("Zrotation", "Wrotation", 1), "names 'Wrotation'"),
    "no offset": (lambda text: text.replace("OFFSET", "", 1), "out of place"),
    "short offset": (lambda text: text.replace("OFFSET 0.000000", "OFFSET", 1), "has 2 numbers, expected 3"),
    "two offsets": (lambda text: text.replace("CHANNELS", "OFFSET 0 0 0\nCHANNELS", 1), "'OFFSET 0 0 0' out of place"),
    "channels twice": (lambda text: text.replace("CHANNELS 3", "CHANNELS 1 Xrotation\nCHANNELS 3", 1), "out of place"),
    "unclosed": (lambda text: text.replace("}\nMOTION", "MOTION"), "does not close"),
    "closed twice": (lambda text: text.replace("MOTION", "}\nMOTION"), "out of place"),
    "two characters": (lambda text: text.replace("MOTION", "ROOT b\n{\nOFFSET 0 0 0\n}\nMOTION"), "several characters"),
    "endless blanks": (lambda text: text + "\n" * 20_000, "blank lines"),
    "endless line": (lambda text: text + "0 " * 600_000, "line of more than"),
    "too many joints": (lambda text: "HIERARCHY\nROOT a\n{\n" + "JOINT b\n{\n" * 5000, "more than 2000 joints"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_get_a_sentence(name, write_bvh_file):
    edit, message = DAMAGES[name]
    path = write_bvh_file(edit=edit)
    with pytest.raises(LampError, match=message) as raised:
        read_motion(path)
    assert "\n" not in str(raised.value) and "figure.bvh" in str(raised.value)


def test_a_lying_frame_count_costs_no_memory(write_bvh_file):
    path = write_bvh_file(edit=lambda text: text.replace("Frames: 31", "Frames: 499999"))
    tracemalloc.start()
    with pytest.raises(LampError, match="holds 31"):
        read_motion(path)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_a_deep_hierarchy_is_no_recursion(tmp_path):
    joints = "".join(f"{'JOINT' if i else 'ROOT'} j{i}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for i in range(1500))
    text = f"HIERARCHY\n{joints}{'}' * 1500}\nMOTION\nFrames: 1\nFrame Time: 0.05\n{'0 ' * 1500}\n"
    (tmp_path / "deep.bvh").write_text(text)
    assert open_bvh(tmp_path / "deep.bvh").hierarchy.rest[-1].tolist() == [0, 1500, 0]
    with pytest.raises(LampError, match="not recognised"):
        read_motion(tmp_path / "deep.bvh")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 80), st.binary(max_size=12)), min_size=1, max_size=4))
def test_random_damage_is_read_or_refused(edits, write_bvh_file):
    data = write_bvh_file().read_bytes()
    for place, length, replacement in edits:
        start = int(place * len(data))
        data = data[:start] + replacement + data[start + length :]
    path = write_bvh_file(edit=lambda text: "")
    path.write_bytes(data)
    try:
        assert np.isfinite(read_motion(path).joints).all()
    except LampError as error:
        assert "\n" not in str(error)
