import numpy as np
import pytest
import torch

from lamp_fast import LampError, LampPipeline, MotionOutput
from lamp_fast.motion.features import features_to_joints
from lamp_fast.motion.skeleton import KIT
from lamp_fast.pipelines.output import Segment

WALK, WAVE = "a person walks forward", "the person waves with the right hand"


@pytest.fixture(scope="module")
def pipe(tiny_folder):
    return LampPipeline.from_pretrained(tiny_folder, device="cpu")


def test_one_prompt(pipe):
    motion = pipe(WALK, seconds=1.4, seed=3)
    assert isinstance(motion, MotionOutput)
    assert motion.features.shape == (28, 263) and motion.features.dtype == np.float32
    assert motion.tokens.shape == (7,) and motion.tokens.dtype == np.int64
    assert motion.joints.shape == (28, 22, 3)
    assert motion.rotations.shape == (28, 22, 4) and motion.offsets.shape == (22, 3)
    assert motion.root.shape == (28, 3) and motion.contacts.shape == (28, 4) and motion.contacts.dtype == bool
    assert (motion.fps, motion.seconds, motion.seed, motion.prompt) == (20, 1.4, 3, WALK)
    assert set(motion.timings) == {"text", "tokens", "features", "joints"}
    np.testing.assert_array_equal(motion.joints, features_to_joints(motion.features, motion.skeleton))


def test_length_is_predicted(pipe):
    frames = len(pipe(WALK).features)
    assert frames % 4 == 0 and 4 <= frames <= 48
    assert frames == 4 * pipe.lamp.length.predict(pipe.lamp.condition([WALK])).item()


def test_several_prompts_and_samples(pipe):
    motions = pipe([WALK, WAVE], num_samples=3, seconds=2)
    assert [m.prompt for m in motions] == [WALK] * 3 + [WAVE] * 3
    assert not np.array_equal(motions[0].features, motions[1].features)
    assert isinstance(pipe([WALK]), list) and isinstance(pipe(WALK, num_samples=2), list)


def test_a_motion_does_not_depend_on_what_else_is_asked(pipe):
    """float32: a batch may add in another order than a single motion does."""
    alone = pipe(WAVE, seconds=1, num_samples=2)
    among = pipe([WALK, WAVE], seconds=1, num_samples=4)[4:6]
    for a, b in zip(alone, among, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_allclose(a.features, b.features, atol=1e-5)


def test_lengths_of_their_own_do_not_touch(pipe, monkeypatch):
    """Predicted lengths differ within a batch; a longer neighbour must not reach into the end of a shorter motion."""
    monkeypatch.setattr(pipe.lamp.length, "predict", lambda condition: torch.tensor([3, 9])[: len(condition)])
    short, long = pipe([WALK, WAVE])
    assert (len(short.features), len(long.features)) == (12, 36)
    np.testing.assert_allclose(pipe(WALK).features, short.features, atol=1e-5)


def test_the_seed_determines_everything(pipe):
    same, again, other = pipe(WALK, seconds=2, seed=7), pipe(WALK, seconds=2, seed=7), pipe(WALK, seconds=2, seed=8)
    np.testing.assert_array_equal(same.features, again.features)
    assert not np.array_equal(same.tokens, other.tokens)


def test_a_sequence_is_one_continuous_motion(pipe):
    motion = pipe([(WALK, 2.4), (WAVE, 1), (WALK, None)], seed=1)
    first, second, third = motion.segments
    assert (first.start, second.start, third.start) == (0, 48, 68)
    assert motion.prompt == f"{WALK}, then {WAVE}, then {WALK}"
    assert motion.frame_prompts[47:49] == [WALK, WAVE] and len(motion.frame_prompts) == len(motion.features)
    # One decode of all tokens, longer than one segment may be, and of the first and last token beyond the ends.
    assert len(motion.tokens) > pipe.lamp.config.generator.max_tokens
    with torch.inference_mode():
        whole = pipe.lamp.decode(torch.from_numpy(np.pad(motion.tokens, 2, mode="edge"))[None])[0]
    np.testing.assert_allclose(motion.features, whole[8:-8], atol=1e-6)


def test_the_ends_do_not_jerk():
    """lamp-mini; without the repeated tokens the first frames move 70 mm apart, four times as far as in the middle."""
    motions = LampPipeline.from_pretrained("lamp-mini", device="cpu")([WALK, WAVE], seconds=4, num_samples=4)
    change = [np.linalg.norm(np.diff(motion.joints, 2, axis=0), axis=-1).max(1) for motion in motions]
    first, last, middle = np.median([(c[0], c[-1], np.median(c)) for c in change], axis=0)
    assert max(first, last) < 2 * middle


def test_split_on_then(pipe):
    prompt = "a person walks forward, then waves with the right hand"
    assert [s.prompt for s in pipe(prompt).segments] == [prompt]
    split = pipe(prompt, seconds=4, split_on_then=True)
    assert [s.prompt for s in split.segments] == [WALK, "a person waves with the right hand"]
    assert split.seconds == 4


def test_frames_of_a_sequence_start_as_the_first_prompt_alone(pipe):
    alone, sequence = pipe(WALK, seconds=2, seed=2), pipe([(WALK, 2), (WAVE, 2)], seed=2)
    np.testing.assert_array_equal(sequence.tokens[:8], alone.tokens[:8])


def test_features_that_are_not_finite(pipe):
    motion = pipe(WALK, seconds=1)
    features = motion.features.copy()
    features[3, 7] = np.nan
    with pytest.raises(LampError, match="NaN"):
        MotionOutput(features, motion.tokens, motion.segments, 0, motion.skeleton)
    with pytest.raises(LampError, match="NaN"):
        pipe.lamp.encode(torch.from_numpy(features)[None])


def test_encode_is_the_way_back(pipe):
    features = torch.from_numpy(pipe(WALK, seconds=1).features)[None]
    assert pipe.lamp.encode(features).shape == (1, 5)


@pytest.mark.parametrize("name", ["num_samples", "num_inference_steps", "seed", "guidance_scale"])
@pytest.mark.parametrize("value", ["3", None])
def test_options_of_another_type(name, value, pipe):
    with pytest.raises(LampError, match=f"{name} is {value!r}, expected"):
        pipe(WALK, **{name: value})


@pytest.mark.parametrize("suffix", [".bvh", ".npz", ".gif", ".png"])
def test_a_motion_of_kit_is_saved(suffix, tmp_path):
    features = np.random.default_rng(0).normal(size=(7, 251)).astype(np.float32)
    motion = MotionOutput(features, np.zeros(2, dtype=np.int64), (Segment("walk", 0),), 0, KIT)
    assert motion.fps == 12.5 and motion.rotations.shape == (7, 21, 4)
    motion.save(tmp_path / f"motion{suffix}")
    assert (tmp_path / f"motion{suffix}").stat().st_size > 0


def test_unknown_device(tiny_folder):
    with pytest.raises(LampError, match="device 'toaster'"):
        LampPipeline.from_pretrained(tiny_folder, device="toaster")
