"""Clips cut, joined, mixed, mirrored, looped, on a walk whose answer is known and on captured ones."""

import numpy as np
import pytest

from lamp_fast.errors import LampError
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.editing import blend, concatenate, find_loop, in_place, loop, mirror, resample, trim
from lamp_fast.motion.heading import headings, turned
from lamp_fast.motion.skeleton import HUMANML3D, KIT

PARENTS = list(HUMANML3D.parents[1:])


def walk(frames=100, period=20, speed=0.06, turn=0.0, fps=20.0, words="walks left"):
    """Legs and arms that swing with a period, on a straight or a bent way; metres and radians a frame."""
    time = np.arange(frames)
    joints = np.zeros((frames, 22, 3))
    for parent, joint in HUMANML3D.bones:
        bone = np.tile(0.25 * np.array(HUMANML3D.t_pose[joint], float), (frames, 1))
        name = HUMANML3D.joint_names[joint]
        if name.endswith(("knee", "ankle", "elbow", "wrist")):
            swing = 0.5 * np.sin(2 * np.pi * time / period + (np.pi if name.startswith("l") else 0))
            bone[:, 2] += np.linalg.norm(bone, axis=1) * np.tan(swing)
        joints[:, joint] = joints[:, parent] + 0.25 * bone / np.linalg.norm(bone, axis=1, keepdims=True)
    yaw = turn * time
    steps = np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], axis=1) * speed
    root = np.cumsum(steps, axis=0) - steps[0] + [1, 0.9, 2]
    joints = turned(joints, yaw[:, None]) + root[:, None]
    contacts = np.zeros((frames, 4), bool)
    contacts[:, 1] = True
    return Clip(joints, HUMANML3D, fps, contacts, [words] * frames, seed=1)


def lengths(clip):
    return np.linalg.norm(clip.joints[:, 1:] - clip.joints[:, PARENTS], axis=-1)


def biggest_step(clip):
    return np.linalg.norm(np.diff(clip.joints, axis=0), axis=-1).max()


def test_mirror_changes_sides_in_body_and_words():
    clip = walk(turn=0.02, words="Left foot, then the right one; LEFT")
    other = mirror(clip)
    assert other.frame_prompts[0] == "Right foot, then the left one; RIGHT"
    assert other.contacts[:, 3].all() and not other.contacts[:, :3].any()
    np.testing.assert_allclose(headings(other.joints, HUMANML3D), -headings(clip.joints, HUMANML3D), atol=1e-6)
    np.testing.assert_array_equal(mirror(other).joints, clip.joints)
    assert mirror(other).frame_prompts == clip.frame_prompts


def test_trim():
    clip = walk()
    part = trim(clip, 1, 2.5)
    np.testing.assert_array_equal(part.joints, clip.joints[20:50])
    assert len(part.frame_prompts) == len(part.contacts) == 30 and part.seed == 1
    assert len(trim(clip, 4)) == 20
    for start, end in ((2, 1), (0, 9), (-1, 2), (0, float("nan")), (float("inf"), None), (1, 1.01)):
        with pytest.raises(LampError, match="5.00 seconds"):
            trim(clip, start, end)


@pytest.mark.parametrize("fps", [10, 24, 30, 60, 120])
def test_resample_keeps_bones_and_ends(fps):
    clip = walk()
    other = resample(clip, fps)
    assert other.fps == fps and len(other) == int(99 * fps / 20 + 1e-6) + 1
    np.testing.assert_allclose(lengths(other), 0.25, atol=1e-6)
    np.testing.assert_allclose(other.joints[0], clip.joints[0], atol=1e-6)
    if fps % 20 == 0:
        np.testing.assert_allclose(other.joints[:: fps // 20], clip.joints, atol=1e-6)


def test_in_place_keeps_height_and_heading():
    clip = walk(turn=0.03)
    still = in_place(clip)
    assert np.abs(still.joints[:, 0, [0, 2]]).max() == 0
    np.testing.assert_array_equal(still.joints[..., 1], clip.joints[..., 1])
    np.testing.assert_allclose(headings(still.joints, HUMANML3D), headings(clip.joints, HUMANML3D), atol=1e-5)


@pytest.mark.parametrize("seconds", [0, 0.4, 100])
def test_concatenated_without_a_jump(seconds):
    """Two halves of one walk, the second turned and moved away, make the walk again."""
    whole = walk(turn=0.02)
    first, second = trim(whole, 0, 3), trim(whole, 2, 5)
    away = Clip(
        turned(second.joints, np.full((60, 22), 2.0)) + [5, 0, -3], HUMANML3D, 20.0, second.contacts, ["then"] * 60
    )
    joined = concatenate([first, away, away], seconds)
    assert biggest_step(joined) < 2 * biggest_step(whole)
    np.testing.assert_allclose(lengths(joined), 0.25, atol=1e-5)
    np.testing.assert_array_equal(joined.joints[:30], first.joints[:30])
    assert joined.prompt == "walks left, then then"
    overlap = {0: 1, 0.4: 8, 100: 30}[seconds]
    assert len(joined) == 180 - 2 * overlap
    if seconds == 0.4:  # 8 frames of overlap where 20 are the same: moved on, not jumped
        one = concatenate([whole])
        assert one is whole
    assert not np.shares_memory(joined.contacts, first.contacts)


def test_clips_of_other_rates_and_skeletons():
    joined = concatenate([walk(40), walk(120, fps=60.0)], 0.2)
    assert joined.fps == 20 and len(joined) == 40 + 40 - 4
    kit = Clip(np.zeros((4, 21, 3)), KIT, 20.0, np.zeros((4, 4), bool), [""] * 4)
    with pytest.raises(LampError, match="kit"):
        concatenate([walk(), kit])
    with pytest.raises(LampError, match="kit"):
        blend(walk(), kit, 0.5)
    with pytest.raises(LampError, match="60"):
        blend(walk(), walk(fps=60.0), 0.5)
    with pytest.raises(LampError, match="at least one"):
        concatenate([])


def test_blend_ends_and_middle():
    a, b = walk(speed=0.04), walk(speed=0.08, turn=0.02)
    np.testing.assert_allclose(blend(a, b, 0).joints, a.joints, atol=1e-5)
    np.testing.assert_allclose(blend(a, b, 1).joints, b.joints, atol=1e-5)
    half = blend(a, b, 0.5)
    np.testing.assert_allclose(headings(half.joints, HUMANML3D), 0.01 * np.arange(100), atol=1e-4)
    steps = np.linalg.norm(np.diff(half.joints[:, 0], axis=0), axis=1)
    np.testing.assert_allclose(steps, 0.06, atol=1e-3)
    np.testing.assert_allclose(lengths(half), 0.25, atol=1e-5)
    assert biggest_step(blend(a, b, np.linspace(0, 1, 100))) < 2 * biggest_step(b)


@pytest.mark.parametrize("weight", [-0.1, 1.5, np.nan, np.zeros(99), np.zeros((100, 1))], ids=str)
def test_weights_that_do_not_fit(weight):
    with pytest.raises(LampError, match="0 to 1"):
        blend(walk(), walk(), weight)


@pytest.mark.parametrize("turn", [0.0, 0.03])
def test_a_loop_is_found_and_closed(turn):
    """A period of 20 frames within a walk that does not repeat exactly."""
    clip = walk(turn=turn)
    drift = np.linspace(0, 0.05, 100)[:, None] * [0, 1, 0]
    clip = Clip(clip.joints + drift[:, None], HUMANML3D, 20.0, clip.contacts, clip.frame_prompts)
    found = find_loop(clip)
    assert (found.end - found.start) % 20 == 0 and found.gap < 0.05
    cycle = loop(clip)
    assert len(cycle) == found.end - found.start
    yaw = headings(cycle.joints, HUMANML3D)
    pose = turned(cycle.joints - cycle.joints[:, :1] * [1, 0, 1], -yaw[:, None])
    seam = np.linalg.norm(pose[0] - pose[-1], axis=-1).max()
    assert seam < 1.2 * np.linalg.norm(np.diff(pose, axis=0), axis=-1).max()
    np.testing.assert_allclose(lengths(cycle), 0.25, atol=1e-5)
    with pytest.raises(LampError, match="no loop"):
        find_loop(clip, shortest=5)


def test_long_clips_are_searched_in_steps():
    clip = walk(frames=4000, period=37, speed=0.0)
    found = find_loop(clip)
    assert (found.end - found.start) % 37 == 0 and found.gap < 1e-3


def test_captured_walks_loop(shared_data):
    with np.load(shared_data / "bandai_namco_20fps_22j_mm_i16.npz") as clips:
        joints = clips["bn_2_walk_normal_013"].astype(np.float32) / 1000
    clip = Clip(joints, HUMANML3D, 20.0, np.zeros((len(joints), 4), bool), [""] * len(joints))
    assert find_loop(clip).gap < 0.04
    thrice = concatenate([loop(clip)] * 3, 0)  # one frame of each is mixed with one of the next
    assert biggest_step(thrice) < 1.5 * biggest_step(clip)


def test_clips_are_checked():
    good = dict(
        joints=np.zeros((3, 22, 3)),
        skeleton=HUMANML3D,
        fps=20,
        contacts=np.zeros((3, 4), bool),
        frame_prompts=["a", "a", "b"],
    )
    assert Clip(**good).prompt == "a, then b" and Clip(**good).seconds == 0.15
    for changes in (
        {"joints": np.zeros((3, 21, 3))},
        {"joints": np.zeros((0, 22, 3))},
        {"joints": np.full((3, 22, 3), np.inf)},
        {"contacts": np.zeros((2, 4))},
        {"frame_prompts": []},
        {"fps": 0},
    ):
        with pytest.raises(LampError):
            Clip(**good | changes)
