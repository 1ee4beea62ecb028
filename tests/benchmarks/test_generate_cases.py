"""The cases of whole generations: every way draws the released tokens, and a wrong one is found out."""

import contextlib
import copy

import pytest
import torch

from lamp_fast.checkpoints.released import generator, tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bench(benchmark_script):
    return benchmark_script("bench_generate")


@pytest.fixture(scope="module")
def models(benchmark_script):
    return benchmark_script("models")


def test_released_names_lead_back_to_our_weights(models):
    lamp = models.random_lamp("tiny", CPU)
    back = generator.convert(models.released_generator(lamp))
    ours = lamp.generator.state_dict()
    assert back.keys() == ours.keys() and all(torch.equal(back[name], ours[name]) for name in ours)
    released = models.released_decoder(lamp)
    rules = {f"vqvae.encoder.model.{i}.weight": torch.zeros(1) for i in range(2)}
    back = tokenizer.convert(released | rules)
    ours = lamp.tokenizer.decoder.state_dict()
    assert all(torch.equal(back[f"decoder.{name}"], ours[name]) for name in ours)


def test_prompts_are_new_and_known(models):
    prompts = models.new_prompts("tiny", 3)
    drawn = [*next(prompts), *next(prompts)]
    assert len(set(drawn)) == 6
    ids, _ = models.random_lamp("tiny", CPU).text_tokenizer(drawn, 12)
    assert ids.shape == (6, models.WORDS_OF_A_PROMPT + 2) and not (ids == 1).any()


@pytest.mark.parametrize("new", [False, True])
def test_every_way_is_right(bench, benchmark_script, new):
    measure = benchmark_script("measure")
    record = measure.measure(measure.Plan("tiny", lambda: bench.build("tiny", 2, 10, new)), seconds=None)
    assert record["status"] == "ok", record
    assert record["ways"]["released"]["agreement"] == 1
    assert record["ways"]["eager bf16"]["agreement one step"] > 0.8


WRONG = {
    "mode": lambda lamp: [setattr(layer, "mode", "full") for layer in lamp.generator.layers],
    "norm": lambda lamp: lamp.generator.layers[1].norm1.weight.mul_(1.3),
    "positions": lambda lamp: lamp.generator.positions.zero_(),
    "decoder": lambda lamp: lamp.tokenizer.decoder.hidden.bias.add_(1),
}


@torch.no_grad()
@pytest.mark.parametrize("part", WRONG)
def test_a_wrong_way_is_found_out(bench, benchmark_script, models, part):
    ways = benchmark_script("ways")
    lamp = models.random_lamp("tiny", CPU)
    condition = torch.randn(8, 32)
    released = ways.Released(lamp, 8, 10)
    wrong = copy.deepcopy(lamp)
    WRONG[part](wrong)
    for way, reason in ((ways.Eager(lamp, 8, 10), None), (ways.Eager(wrong, 8, 10), "tokens|frames")):
        with pytest.raises(AssertionError, match=reason) if reason else contextlib.nullcontext():
            bench.compare(released, None, bench.Result(*way(condition), condition, way))
    way = ways.Eager(lamp, 8, 10)
    ids, features = way(condition)
    with pytest.raises(AssertionError, match="frames"):
        bench.compare(released, None, bench.Result(ids, features * float("nan"), condition, way))


def test_a_cpu_is_spared_the_largest(bench, benchmark_script):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(benchmark_script("measure").NotHere, match="seconds"):
        bench.build("8x512", 256, 18, False)
