"""AMASS with a body model of random numbers: the joints against the model's own words, vertex by vertex."""

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion

VERTICES, JOINTS, SHAPES, FRAMES = 60, 52, 16, 9


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    regressor = random.random((JOINTS, VERTICES))
    return {
        "v_template": random.normal(size=(VERTICES, 3)),
        "shapedirs": random.normal(size=(VERTICES, 3, SHAPES)) * 0.1,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "kintree_table": np.array([[*HUMANML3D.parents], [*range(22)]]),
        "bs_type": np.array(["lrotmin"], object),
    }


@pytest.fixture(scope="module")
def motion():
    random = np.random.default_rng(1)
    return {
        "poses": random.normal(size=(FRAMES, 156)) * 0.5,
        "trans": random.normal(size=(FRAMES, 3)),
        "betas": random.normal(size=16),
        "gender": np.array("male"),
        "mocap_framerate": np.array(40.0),
    }


@pytest.fixture
def amass(tmp_path, model, motion):
    """`amass(**changes) -> (motion file, folder of models)`; a change to None takes an array away."""

    def write(**changes):
        (tmp_path / "smplh" / "male").mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / "smplh" / "male" / "model.npz", **model)
        np.savez(tmp_path / "walk_poses.npz", **{k: v for k, v in (motion | changes).items() if v is not None})
        return tmp_path / "walk_poses.npz", tmp_path / "smplh"

    return write


def rodrigues(vector):
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def expected_joints(model, motion):
    """In the makers' words: shape the template, regress the joints, chain 4 x 4 transforms, take where they end."""
    shaped = model["v_template"] + model["shapedirs"][..., :10] @ motion["betas"][:10]
    rest = model["J_regressor"] @ shaped
    frames = []
    for pose, trans in zip(motion["poses"], motion["trans"]):
        transforms = []
        for joint, parent in enumerate(HUMANML3D.parents):
            local = np.eye(4)
            local[:3, :3] = rodrigues(pose[3 * joint : 3 * joint + 3])
            local[:3, 3] = rest[joint] - (rest[parent] if joint else 0)
            transforms.append(transforms[parent] @ local if joint else local)
        frames.append([t[:3, 3] + trans for t in transforms])
    x, y, z = np.moveaxis(np.array(frames), -1, 0)
    return np.stack([-x, z, y], axis=-1)


@pytest.mark.parametrize("width", [156, 72, 66])
def test_joints_follow_the_body_model(amass, model, motion, width):
    file, folder = amass(poses=motion["poses"][:, :width])
    result = read_motion(file, body_model=folder)
    expected = expected_joints(model, motion)[::2]
    np.testing.assert_allclose(result.joints, expected - expected[0, 0] * [1, 0, 1], atol=1e-5)
    assert result.body == "smpl"


def test_one_model_file_serves_every_gender(amass, motion):
    file, folder = amass(gender=None)
    assert len(read_motion(file, body_model=folder / "male" / "model.npz").joints) == 5
    with pytest.raises(LampError, match="no neutral body model; expected one of neutral/model.npz"):
        read_motion(file, body_model=folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"betas": None}, "is no AMASS motion"),
        ({"mocap_framerate": None}, "is no AMASS motion"),
        ({"poses": np.zeros((9, 60))}, "is no AMASS motion"),
        ({"trans": np.zeros((8, 3))}, "is no AMASS motion"),
        ({"trans": np.full((9, 3), np.nan)}, "NaN"),
        ({"poses": np.full((9, 156), "a")}, "no numbers"),
        ({"mocap_framerate": np.array(0)}, "frame rate of 0"),
    ],
)
def test_damaged_motions_get_a_sentence(amass, changes, message):
    file, folder = amass(**changes)
    with pytest.raises(LampError, match=message):
        read_motion(file, body_model=folder)


def test_without_a_body_model(amass, tmp_path):
    file, _ = amass()
    with pytest.raises(LampError, match="joints need a body model: register at"):
        read_motion(file)
    with pytest.raises(LampError, match="holds no body model"):
        read_motion(file, body_model=tmp_path / "nothing")
    (tmp_path / "model.pkl").write_bytes(b"")
    with pytest.raises(LampError, match="pickles never"):
        read_motion(file, body_model=tmp_path / "model.pkl")
    with pytest.raises(LampError, match="lacks J_regressor"):
        read_motion(file, body_model=file)
