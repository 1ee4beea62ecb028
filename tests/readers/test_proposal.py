"""Mappings proposed for skeletons: by name, by shape, and not at all."""

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.cli.main import main
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion
from lamp_fast.readers.hierarchy import Hierarchy
from lamp_fast.readers.motion import open_capture
from lamp_fast.readers.proposal import by_shape, propose, write_map


def test_a_recognised_skeleton_needs_no_mapping(write_bvh_file, maker):
    proposal = propose(open_capture(write_bvh_file(maker)))
    assert proposal.known and not proposal.missing and set(proposal.by.values()) == {"name"}


def test_shape_tells_where_names_do_not(figure, write_bvh_file, tmp_path):
    names = [f"Bone.{i:03}" for i in range(22)]
    path = write_bvh_file(names=names)
    proposal = propose(open_capture(path))
    assert proposal.joints == dict(zip(HUMANML3D.joint_names, names))
    assert set(proposal.by.values()) == {"shape"}
    write_map(tmp_path / "map.json", proposal)
    motion = read_motion(path, body=tmp_path / "map.json")
    np.testing.assert_allclose(motion.joints, figure.expected(), atol=1e-4)


def test_shape_fills_in_what_names_leave_open(write_bvh_file):
    names = [f"mixamorig:{joint}" if joint.endswith("hip") else joint.upper() for joint in HUMANML3D.joint_names]
    names[HUMANML3D.joint_names.index("l_knee")] = "Gelenk"
    proposal = propose(open_capture(write_bvh_file(names=names)))
    assert proposal.joints["l_knee"] == "Gelenk" and proposal.by["l_knee"] == "shape"
    assert proposal.joints["r_knee"] == "R_KNEE" and proposal.by["r_knee"] == "name"


def test_shape_agrees_with_names_on_raw_files(shared_data):
    limbs = [j for j in HUMANML3D.joint_names if j[:2] in ("l_", "r_") and not j.endswith("collar")]
    for path in sorted((shared_data / "raw").iterdir()):
        # CMU's BVH lost a bone, so that both shoulders are one point.
        if path.suffix == ".amc" or path.name.startswith("bn_"):
            capture = open_capture(path)
            pose = next(capture.positions(range(len(capture.hierarchy.names))))[-1]
            shape, joints = by_shape(capture.hierarchy, pose), propose(capture).joints
            assert {joint: shape[joint] for joint in limbs} == {joint: joints[joint] for joint in limbs}, path.name


def test_no_person(tmp_path, capsys):
    rest = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0]], float)
    assert by_shape(Hierarchy(("a", "b", "c"), (-1, 0, 1), rest), rest) == {}
    joint = "OFFSET 0 1 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n"
    text = (
        f"HIERARCHY\nROOT a\n{{\n{joint}JOINT b\n{{\n{joint}}}\n}}\nMOTION\nFrames: 1\nFrame Time: 0.05\n0 0 0 0 0 0\n"
    )
    (tmp_path / "arm.bvh").write_text(text)
    assert main(["data", "map", str(tmp_path / "arm.bvh")]) == 0
    assert "fill in pelvis, l_hip" in capsys.readouterr().out
    with pytest.raises(LampError, match="leaves open pelvis"):
        read_motion(tmp_path / "arm.bvh", body=tmp_path / "arm.bvh.map.json")


def test_the_command_shows_what_it_found(write_bvh_file, tmp_path, capsys):
    path = write_bvh_file(names=[f"Bone.{i:03}" for i in range(22)])
    assert main(["data", "map", str(path), "--preview", str(tmp_path / "preview.png")]) == 0
    output = capsys.readouterr().out
    assert "l_wrist      shape    Bone.020" in output and "give it as --map" in output
    assert (tmp_path / "figure.bvh.map.json").is_file() and (tmp_path / "preview.png").is_file()
    assert main(["data", "map", str(path), "--preview", "picture.jpg"]) == 2
    assert main(["data", "map", str(tmp_path / "missing.bvh")]) == 2
    assert main(["data", "map", str(tmp_path / "preview.png")]) == 2
