"""Feet that stand, slide and are locked: on a figure that glides, on captured and on generated motion."""

from pathlib import Path

import numpy as np
import pytest

import lamp_fast
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.feet import foot_lock, sliding, standing
from lamp_fast.motion.skeleton import HUMANML3D

FEET = [*HUMANML3D.left_foot, *HUMANML3D.right_foot]
OTHERS = [joint for joint in range(22) if joint not in FEET]


def figure(frames, glide):
    """A body with slightly bent knees whose feet glide along Z, metres a frame, under a still pelvis."""
    joints = np.zeros((frames, 22, 3))
    for parent, joint in HUMANML3D.bones:
        joints[:, joint] = joints[:, parent] + 0.3 * np.array(HUMANML3D.t_pose[joint])
    joints[:, [4, 5], 2] += 0.05
    joints[:, FEET, 2] += (glide * np.arange(frames))[:, None]
    joints[..., 1] -= joints[..., 1].min()
    return Clip(joints, HUMANML3D, 20.0, np.zeros((frames, 4), bool), [""] * frames)


def moved(clip, other):
    return np.linalg.norm(clip.joints - other.joints, axis=-1)


def test_still_feet_stand_and_stay():
    clip = figure(30, 0.0)
    assert standing(clip).all() and sliding(clip) == 0
    np.testing.assert_allclose(foot_lock(clip).joints, clip.joints, atol=1e-6)


def test_a_glide_is_stopped():
    clip = figure(15, 0.01)
    locked = foot_lock(clip)
    assert sliding(clip) == pytest.approx(0.2, abs=1e-3)
    assert sliding(locked, standing(clip)) < 0.002
    assert moved(clip, locked)[:, FEET].max() < 0.08
    assert moved(clip, locked)[:, [j for j in OTHERS if j not in (4, 5)]].max() == 0


def test_a_long_glide_becomes_steps():
    """A metre in five seconds: feet are held, lifted, and held again, and legs keep their length."""
    clip = figure(100, 0.01)
    locked = foot_lock(clip)
    assert moved(clip, locked)[:, FEET].max() < 0.2
    still = np.linalg.norm(np.diff(locked.joints[:, 7], axis=0), axis=-1) < 1e-4
    assert still.mean() > 0.5
    lifted = locked.joints[:, 7, 1] - clip.joints[:, 7, 1]
    assert lifted.max() > 0.02
    for start, end in ((1, 4), (4, 7)):
        before, after = (np.linalg.norm(c.joints[:, end] - c.joints[:, start], axis=-1) for c in (clip, locked))
        np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(frames):
    clip = figure(frames, 0.01)
    assert foot_lock(clip).joints.shape == clip.joints.shape
    assert sliding(clip) >= 0


def test_captured_feet_slide_less(shared_data):
    with np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz") as clips:
        joints = clips["bn_2_walk-turn-left_feminine_011"].astype(np.float32) / 1000
    clip = Clip(joints, HUMANML3D, 20.0, np.zeros((len(joints), 4), bool), [""] * len(joints))
    locked = foot_lock(clip)
    assert sliding(locked, standing(clip)) < 0.2 * sliding(clip)
    assert moved(clip, locked)[:, OTHERS].mean() < 0.005


def test_generated_feet_slide_60_percent_less():
    """Of lamp-mini's motions, over all; joints other than the feet move by less than 2 cm on average in each."""
    if not (Path(lamp_fast.__file__).parent / "assets/lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    from lamp_fast import LampPipeline

    prompts = ["a person walks forward", "a person turns left", "a person waves with the right hand", "a person bows"]
    prompts += ["a person runs", "a person walks in a circle", "a person dances", "a person walks, then bows"]
    before, after = [], []
    for motion in LampPipeline.from_pretrained("lamp-mini", device="cpu")(prompts, 5.0, seed=1):
        clip = motion.clip
        locked = foot_lock(clip)
        down = standing(clip)
        before.append(sliding(clip, down))
        after.append(sliding(locked, down))
        assert moved(clip, locked)[:, OTHERS].mean() < 0.02
    assert np.mean(after) < 0.4 * np.mean(before)
