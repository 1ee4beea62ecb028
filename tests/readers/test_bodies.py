"""Names of joints and mapping files."""

import json

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.bodies import by_name, read_map, split_name
from lamp_fast.readers.hierarchy import Hierarchy


@pytest.mark.parametrize(
    "name, side, core",
    [
        ("mixamorig:LeftUpLeg", "l", "upleg"),
        ("mixamorigRightToeBase", "r", "toebase"),
        ("Bip01 L Toe0", "l", "toe0"),
        ("DEF-upper_arm.R", "r", "upperarm"),
        ("J_Bip_C_Hips", "", "hips"),
        ("CC_Base_L_Calf", "l", "calf"),
        ("thigh_l", "l", "thigh"),
        ("LUArm", "l", "uarm"),
        ("lShldr", "l", "shldr"),
        ("Armature|Skeleton:Neck_01", "", "neck01"),
        ("Leg", "", "leg"),
        ("Head", "", "head"),
        ("", "", ""),
    ],
)
def test_split_name(name, side, core):
    assert split_name(name) == (side, core)


def chain(names, rest):
    return Hierarchy(tuple(names), tuple(range(-1, len(names) - 1)), np.array(rest, float))


@pytest.mark.parametrize(
    "between, spine",
    [
        (0, [("Hips", "Neck", 0.2386), ("Hips", "Neck", 0.4982), ("Hips", "Neck", 0.6022)]),
        (2, [("Hips", "s1", 0.7), "s1", "s2"]),
        (3, ["s1", "s2", "s3"]),
        (4, [("s1", "s2", 0.193), ("s2", "s3", 0.491), ("s3", "s4", 0.011)]),
    ],
)
def test_three_joints_of_the_spine_lie_on_any_number_of_points(between, spine):
    names = ["Hips", *(f"s{i + 1}" for i in range(between)), "Neck"]
    joints = by_name(chain(names, [[0, i, 0] for i in range(len(names))]))
    assert [joints[name] for name in ("spine1", "spine2", "spine3")] == [
        pytest.approx(s) if type(s) is str else s for s in spine
    ]


@pytest.mark.parametrize(
    "values, message",
    [
        ("{", "cannot read the mapping"),
        ("[]", "has no joints"),
        ({"joints": {}}, "leaves open pelvis, l_hip"),
        ({"joints": {"pelvis": ["a", "b"]}}, "leaves open pelvis"),
        ({"unit": "ell"}, "unit 'ell'"),
        ({"unit": -1}, "unit -1"),
        ({"up": "x"}, "up 'x'"),
        ({"skip_frames": 1.5}, "skip_frames 1.5"),
    ],
)
def test_a_mapping_file_that_cannot_be_used(tmp_path, values, message):
    if isinstance(values, dict):
        values = json.dumps({"joints": {name: name for name in HUMANML3D.joint_names}} | values)
    (tmp_path / "map.json").write_text(values)
    with pytest.raises(LampError, match=message):
        read_map(tmp_path / "map.json")
