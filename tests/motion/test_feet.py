"""Feet that stand, slide and are locked: on a figure that glides, on captured and on generated motion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lamp_fast
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.feet import foot_lock, heights, sliding, standing
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.motion.steps import plan_stands

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


def test_a_short_glide_is_stopped():
    clip = figure(15, 0.01)
    locked = foot_lock(clip)
    assert sliding(clip) == pytest.approx(0.2, abs=1e-3)
    assert sliding(locked) < 0.002
    assert moved(clip, locked)[:, FEET].max() < 0.08
    assert moved(clip, locked)[:, [j for j in OTHERS if j not in (4, 5)]].max() == 0


@pytest.mark.parametrize("glide", [0.01, 0.03, 0.06, 0.1])
def test_a_long_glide_becomes_steps(glide):
    """From a stroll to a run of 2 m/s: feet stand still or are in the air, take turns, and legs keep their length."""
    clip = figure(100, glide)
    locked = foot_lock(clip)
    assert sliding(locked) < 0.3 * sliding(clip)
    feet = locked.joints[:, FEET[::2]]
    still = np.linalg.norm(np.diff(feet, axis=0), axis=-1) < 1e-4
    assert still.mean() > 0.15
    lifted = heights(locked)[1:, ::2] > 0.03
    assert lifted.any(axis=0).all() and lifted.all(axis=1).mean() < 0.4
    assert (still & lifted).mean() < 0.02
    assert moved(clip, locked)[:, OTHERS].mean() < 0.02
    for start, end in ((1, 4), (4, 7)):
        before, after = (np.linalg.norm(c.joints[:, end] - c.joints[:, start], axis=-1) for c in (clip, locked))
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_other_frame_rates():
    """The same glide at three times the frame rate: steps of the same number, in the same places."""
    slow, fast = figure(101, 0.03), replace(figure(301, 0.01), fps=60.0)
    for clip in (slow, fast):
        assert sliding(foot_lock(clip)) < 0.3 * sliding(clip)
    np.testing.assert_allclose(foot_lock(fast).joints[::3, 7, 2], foot_lock(slow).joints[:, 7, 2], atol=0.25)


def test_the_ground_rises_on_stairs_and_not_with_a_jump():
    stairs, jump = (figure(120, 0.0) for _ in range(2))
    rise = np.repeat(np.arange(4) * 0.17, 30)
    stairs = replace(stairs, joints=stairs.joints + rise[:, None, None] * [0, 1, 0])
    assert heights(stairs)[45:75].max() < 0.2 and heights(stairs)[[0, 119]].max() < 1e-6
    up = np.maximum(0.4 - 40 * ((np.arange(120) - 60) / 20) ** 2 / 8, 0)
    jump = replace(jump, joints=jump.joints + up[:, None, None] * [0, 1, 0])
    np.testing.assert_allclose(heights(jump)[:, 0], up, atol=1e-6)


def test_a_plan_is_what_is_cheapest():
    """All plans of a short way, by hand: none is cheaper. And one that stands on nothing has no stand."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        way, ground = np.cumsum(rng.normal(size=(9, 2)) * 0.1, axis=0), rng.random(9) < 0.8
        costs = {tuple(plan): cost(plan, way, ground) for plan in plans(9, ground)}
        chosen = plan_stands(way, ground, np.zeros(9, bool), 10.0)
        assert costs[tuple(chosen)] == pytest.approx(min(costs.values()))
    assert plan_stands(np.zeros((9, 2)), np.zeros(9, bool), np.zeros(9, bool), 20.0) == []


def plans(frames, ground, first=0):
    """All ways to stand for two frames or more, with three or more between two stands, at ten frames a second."""
    yield []
    for start in range(first, frames - 1):
        for end in range(start + 2, frames + 1):
            if ground[start:end].all():
                for rest in plans(frames, ground, end + 3):
                    yield [(start, end), *rest]


def cost(plan, way, ground):
    """Seconds: of holding, of lifting, of steps; see `motion/steps.py`."""
    held = sum(np.square(way[s:e] - way[s:e].mean(axis=0)).sum() for s, e in plan) / 0.2**2 / 10
    lifted = ground.sum() / 10 - sum(e - s for s, e in plan) / 10
    return held + lifted + 0.15 * max(len(plan) - 1, 0)


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
    assert sliding(locked) < 0.2 * sliding(clip)
    assert moved(clip, locked)[:, OTHERS].mean() < 0.01


def test_generated_feet_slide_60_percent_less():
    """In each of lamp-mini's motions; joints other than the feet move by less than 2 cm on average."""
    if not (Path(lamp_fast.__file__).parent / "assets/lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    from lamp_fast import LampPipeline

    prompts = ["a person walks forward", "a person turns left", "a person waves with the right hand", "a person bows"]
    prompts += ["a person runs", "a person walks in a circle", "a person dances", "a person walks, then bows"]
    prompts += ["a person climbs stairs", "a person does a cartwheel", "a person kicks with the left leg"]
    for motion in LampPipeline.from_pretrained("lamp-mini", device="cpu")(prompts, 5.0, seed=1):
        clip = motion.clip
        locked = foot_lock(clip)
        assert sliding(locked) < 0.4 * sliding(clip), motion.prompt
        assert moved(clip, locked)[:, OTHERS].mean() < 0.02, motion.prompt
