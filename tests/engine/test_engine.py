"""The engine gives the motions of the models, whatever the bucket, the batch, the thread or the cache."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from lamp_fast.engine import LampEngine
from lamp_fast.errors import LampError
from lamp_fast.models.decoding import DecodingOptions, generate
from lamp_fast.motion.features import features_to_joints

WALK, WAVE = "a person walks forward", "the person waves with the right hand"
OPTIONS = DecodingOptions(num_inference_steps=4)


@pytest.fixture
def engine(tiny_lamp):
    return LampEngine(tiny_lamp, cached_prompts=3)


@pytest.fixture
def static_engine(engine):
    """As on a GPU: buckets and fixed buffers, but the function is called where a graph would be replayed."""
    engine._static = True
    return engine


def same(motions, other):
    assert torch.equal(motions.tokens, other.tokens) and torch.equal(motions.lengths, other.lengths)
    torch.testing.assert_close(motions.features, other.features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(motions.joints, other.joints, atol=1e-5, rtol=1e-5)


def test_the_motions_of_the_models(tiny_lamp, engine):
    motions = engine.generate([WALK, WAVE], [12, 5], OPTIONS, seed=7)
    condition = tiny_lamp.condition([WALK, WAVE])
    tokens = generate(tiny_lamp.generator, condition, [12, 5], OPTIONS, seed=7)
    assert torch.equal(motions.tokens, tokens)
    for row, length in enumerate([12, 5]):
        features = tiny_lamp.decode(tokens[row : row + 1, :length])[0]
        torch.testing.assert_close(motions.features[row, : 4 * length], features, atol=1e-5, rtol=1e-5)
        joints = features_to_joints(features, tiny_lamp.skeleton)
        torch.testing.assert_close(motions.joints[row, : 4 * length], joints, atol=1e-5, rtol=1e-5)
    assert (motions.features[1, 20:] == 0).all() and (motions.joints[1, 20:] == 0).all()


def test_buckets_change_nothing(tiny_lamp, static_engine):
    plain = LampEngine(tiny_lamp)
    for prompts, lengths in ([[WALK], [7]], [[WALK, WAVE, "a person turns"], [3, 12, 1]], [[WAVE], [12]]):
        same(
            static_engine.generate(prompts, lengths, OPTIONS, seed=2), plain.generate(prompts, lengths, OPTIONS, seed=2)
        )


def test_requests_share_the_graph_of_their_bucket(static_engine):
    static_engine.generate([WALK] * 3, [3, 3, 3])
    made = len(static_engine._calls)
    static_engine.generate(["a person turns"] * 4, [12, 1, 1, 1])
    assert len(static_engine._calls) == made
    static_engine.generate([WALK] * 5, [3] * 5)
    assert len(static_engine._calls) == made + 1


def test_a_known_prompt_is_not_read_again(engine, monkeypatch):
    first = engine.generate([WALK], [7])
    monkeypatch.setattr(engine, "_text", None)
    same(engine.generate([WALK], [7]), first)
    same(engine.generate(engine.condition([WALK]), [7]), first)
    with pytest.raises(TypeError):
        engine.generate([WALK, WAVE], [7, 7])


def test_warm_up_makes_every_later_call_a_replay(static_engine):
    static_engine.warm_up([1, 4], [12], OPTIONS)
    made = len(static_engine._calls)
    static_engine.generate([WAVE] * 3, [5, 5, 5], OPTIONS)
    static_engine.generate([WAVE] * 3, [5, 5, 5], OPTIONS, seed=1)
    static_engine.generate([WAVE], [5], OPTIONS)
    assert len(static_engine._calls) == made


def test_threads_do_not_mix(tiny_lamp, static_engine):
    requests = [([WALK, WAVE][: 1 + i % 2], [[5], [12, 3]][i % 2], i) for i in range(12)]
    plain = LampEngine(tiny_lamp)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda r: static_engine.generate(r[0], r[1], OPTIONS, seed=r[2]), requests))
    for motions, (prompts, lengths, seed) in zip(made, requests, strict=True):
        same(motions, plain.generate(prompts, lengths, OPTIONS, seed=seed))


def test_in_painting(tiny_lamp, static_engine):
    condition, config = tiny_lamp.condition([WALK]), tiny_lamp.config.generator
    known = torch.randint(config.num_codes, (1, 9))
    known[0, 3:5] = config.mask_id
    tokens = static_engine.tokens(condition, [9], OPTIONS, known=known, seed=3)
    assert torch.equal(tokens, generate(tiny_lamp.generator, condition, [9], OPTIONS, known=known, seed=3))


def test_released_padding_is_not_rounded_up(tiny_lamp):
    """Pads are attended there, so that a bucket would change the result."""
    lamp = deepcopy(tiny_lamp)
    lamp.generator.config = replace(lamp.generator.config, padding="released")
    lamp.config = replace(lamp.config, generator=lamp.generator.config)
    engine = LampEngine(lamp)
    engine._static = True
    tokens = generate(lamp.generator, lamp.condition([WALK]), [7], OPTIONS)
    assert torch.equal(engine.generate([WALK], [7], OPTIONS).tokens, tokens)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (([WALK], [0]), "from 1 to 12"),
        (([WALK], [13]), "from 1 to 12"),
        (([WALK], [3, 4]), "one for each motion"),
        (([""], [3]), "empty"),
        (([], []), "one or more texts"),
        (("a", [3]), "one or more texts"),
    ],
)
def test_bad_input_is_one_sentence(engine, arguments, words):
    with pytest.raises(LampError, match=words):
        engine.generate(*arguments)


def test_bad_dtype(tiny_lamp):
    with pytest.raises(LampError, match="float64"):
        LampEngine(tiny_lamp, dtype=torch.float64)


def test_memory(engine, tiny_lamp):
    report = engine.memory()
    assert report["prompt cache"] == 3 * 32 * 4
    assert report["weights"] > sum(p.nbytes for p in tiny_lamp.generator.layers.parameters())


def test_motions_longer_than_a_request_are_decoded(tiny_lamp, static_engine):
    tokens = torch.randint(24, (2, 30))
    features, joints = static_engine.decode(tokens, [30, 17])
    torch.testing.assert_close(features[:1], tiny_lamp.decode(tokens[:1]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features[1:, :68], tiny_lamp.decode(tokens[1:, :17]), atol=1e-5, rtol=1e-5)
    assert joints.shape == (2, 120, 22, 3) and (joints[1, 68:] == 0).all()
