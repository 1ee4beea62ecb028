import pytest
import torch

from lamp_fast.engine import LampEngine
from lamp_fast.models.decoding import DecodingOptions
from lamp_fast.pipelines.tracks import TRANSITION_TOKENS, Track, _window, draw_tracks

OPTIONS = {"options": DecodingOptions(num_inference_steps=3, guidance_scale=2.0), "seed": 5}


@pytest.fixture
def engine(tiny_lamp):
    return LampEngine(tiny_lamp)


def track(lengths, sample=0, seed=0):
    conditions = torch.randn(len(lengths), 32, generator=torch.Generator().manual_seed(seed))
    return Track(conditions, lengths, sample)


@pytest.mark.parametrize("lengths", [[1], [12], [1, 1], [2, 12], [12, 12, 12], [3, 3, 3, 3], [5, 1, 7]], ids=str)
def test_lengths(lengths, engine):
    one = track(lengths)
    draw_tracks(engine, [one], **OPTIONS)
    assert one.tokens.shape == (sum(lengths),) and one.tokens.dtype == torch.int64
    assert ((one.tokens >= 0) & (one.tokens < engine.config.tokenizer.num_codes)).all()


def test_only_tokens_around_the_joints_are_drawn_again(engine):
    joined = track([9, 12, 7])
    draw_tracks(engine, [joined], **OPTIONS)
    first = Track(joined.conditions[:1], [9], 0)
    draw_tracks(engine, [first], **OPTIONS)
    assert torch.equal(joined.tokens[: 9 - TRANSITION_TOKENS], first.tokens[: 9 - TRANSITION_TOKENS])


def test_a_prompt_given_twice_does_not_give_the_same_motion_twice(engine):
    twice = Track(track([9]).conditions.repeat(2, 1), [9, 9], 0)
    draw_tracks(engine, [twice], **OPTIONS)
    assert not torch.equal(twice.tokens[2:7], twice.tokens[11:16])


def test_known_tokens_stay(engine, monkeypatch):
    """What the in-painting is given as known comes back untouched, and windows fit the model."""
    calls = []
    draw = engine.tokens

    def spy(condition, lengths, **options):
        ids = draw(condition, lengths, **options)
        calls.append((options.get("known"), ids))
        return ids

    monkeypatch.setattr(engine, "tokens", spy)
    draw_tracks(engine, [track([9, 12, 7]), track([4, 6], seed=1)], **OPTIONS)
    (none, _), *joints = calls
    assert none is None and len(joints) == 2
    for known, ids in joints:
        assert known.shape[1] <= engine.config.generator.max_tokens
        wanted = known == engine.config.generator.mask_id
        assert wanted.sum(1).max() == 2 * TRANSITION_TOKENS
        assert torch.equal(ids[~wanted], known[~wanted])


def test_a_track_does_not_depend_on_its_neighbours(engine):
    alone, beside = track([5, 8], sample=1), track([5, 8], sample=1)
    draw_tracks(engine, [alone], **OPTIONS)
    draw_tracks(engine, [track([12], seed=3), beside, track([3, 3, 12], seed=4)], **OPTIONS)
    assert torch.equal(alone.tokens, beside.tokens)


@pytest.mark.parametrize("left", [1, 2, 5, 12])
@pytest.mark.parametrize("right", [1, 2, 5, 12])
def test_windows(left, right):
    window, wanted = _window([3, left, right, 3], 1, 12)
    middle = 3 + left
    assert 3 <= window.start < middle < window.stop <= middle + right
    assert window.stop - window.start == min(12, left + right)
    assert window.start < wanted.start <= middle <= wanted.stop < window.stop
    assert middle - wanted.start <= TRANSITION_TOKENS and wanted.stop - middle <= TRANSITION_TOKENS
