"""Masked decoding: the released tokens, in-painting, and results that do not depend on batch mates."""

import math
from dataclasses import replace

import pytest
import torch

from lamp_fast import ops
from lamp_fast.errors import LampError
from lamp_fast.models.decoding import DecodingOptions, generate, masked_counts, redraw


def released_options(config, run):
    return DecodingOptions(
        num_inference_steps=run["timesteps"],
        guidance_scale=run["cond_scale"],
        temperature=run["temperature"],
        top_k=math.ceil((1 - run["topk_filter_thres"]) * config.num_codes),
    )


def whole_batch_run(fixture):
    """The run of all texts, whose samples were also generated one by one."""
    return next((prefix, run) for prefix, run in fixture.config["runs"].items() if "samples" not in run)


@pytest.fixture
def recorded_steps(monkeypatch):
    """The ids that entered each decoding step, whether drawn there, and the confidences that came out."""
    steps = []
    decode_step = ops.decode_step

    def record(logits, unconditional_logits, ids, next_count, **options):
        result = decode_step(logits, unconditional_logits, ids, next_count, **options)
        steps.append((ids, result[1]))
        return result

    monkeypatch.setattr(ops, "decode_step", record)
    return steps


def check_steps(fixture, prefix, steps, mask_id):
    fixture.check(f"{prefix}_is_mask", torch.stack([ids == mask_id for ids, _ in steps]))
    fixture.check(f"{prefix}_scores", torch.stack([confidence for _, confidence in steps]))


def test_released_generate(golden, released_generator, recorded_steps):
    fixture, model = golden("generate"), released_generator()
    for prefix, run in fixture.config["runs"].items():
        recorded_steps.clear()
        ids = generate(
            model,
            fixture["cond_vector"][run.get("samples", slice(None))],
            fixture[f"m_lens_{prefix}"],
            released_options(model.config, run),
            noise=fixture[f"noise_{prefix}"],
        )
        check_steps(fixture, prefix, recorded_steps, model.config.mask_id)
        fixture.check(f"{prefix}_final_ids", ids)


@pytest.mark.parametrize("padding", ["released", "exact"])
def test_released_generate_alone(golden, released_generator, padding):
    fixture, model = golden("generate"), released_generator(padding=padding)
    prefix, run = whole_batch_run(fixture)
    for sample, length in enumerate(fixture[f"m_lens_{prefix}"].tolist()):
        ids = generate(
            model,
            fixture["cond_vector"][sample : sample + 1],
            [length],
            released_options(model.config, run),
            noise=fixture[f"noise_{prefix}"][:, sample : sample + 1, :length],
        )
        fixture.check(f"single{sample}_final_ids", ids)


def test_exact_batch_equals_the_released_samples_alone(golden, released_generator):
    fixture, model = golden("generate"), released_generator(padding="exact")
    prefix, run = whole_batch_run(fixture)
    lengths = fixture[f"m_lens_{prefix}"].tolist()
    ids = generate(
        model,
        fixture["cond_vector"],
        lengths,
        released_options(model.config, run),
        noise=fixture[f"noise_{prefix}"],
    )
    for sample, length in enumerate(lengths):
        fixture.check(f"single{sample}_final_ids", ids[sample : sample + 1, :length])
        assert (ids[sample, length:] == model.config.pad_id).all()


@pytest.mark.parametrize("prefix", ["A", "B"])
def test_released_edit(golden, released_generator, recorded_steps, prefix):
    fixture, model = golden("edit"), released_generator()
    tokens, lengths, config = fixture["tokens"], fixture["m_lens"], model.config
    beyond = torch.arange(tokens.shape[1]) >= lengths[:, None]
    if prefix == "B":
        tokens = tokens.masked_fill(beyond, config.pad_id)
    known = tokens.masked_fill(fixture["edit_mask"] & ~beyond, config.mask_id)
    ids = generate(
        model,
        fixture["cond_vector"],
        lengths,
        released_options(config, fixture.config),
        noise=fixture["noise"],
        known=known,
    )
    check_steps(fixture, prefix, recorded_steps, config.mask_id)
    fixture.check(f"{prefix}_final_ids", ids.masked_fill(beyond, -1))
    assert torch.equal(ids[known != config.mask_id], tokens[known != config.mask_id])


def test_released_mask_free_edit(golden, released_generator, recorded_steps):
    fixture, model = golden("edit"), released_generator()
    tokens, lengths = fixture["tokens"], fixture["m_lens"]
    noise = fixture["noise_free"]
    options = replace(released_options(model.config, fixture.config), num_inference_steps=len(noise))
    # At first all scores are equal, and the order of the release's sort decides.
    first = fixture["F_is_mask"][0]
    ids = redraw(model, tokens, fixture["cond_vector"], lengths, options, first=first, noise=noise)
    fixture.check("F_scores", torch.stack([confidence for _, confidence in recorded_steps]))
    beyond = torch.arange(tokens.shape[1]) >= lengths[:, None]
    fixture.check("F_final_ids", ids.masked_fill(beyond, -1))


def test_redrawing_keeps_most_of_a_motion_and_depends_on_no_batch_mate(small_generator):
    model = small_generator()
    ids, lengths = torch.randint(model.config.num_codes, (2, 20)), [20, 7]
    condition, samples = torch.randn(2, model.config.condition_dim), torch.tensor([4, 5])
    once = redraw(model, ids, condition, lengths, DecodingOptions(num_inference_steps=1), samples=samples)
    assert torch.equal(once[0, 3:], ids[0, 3:])  # 16 % of 20 are 3
    batch = redraw(model, ids, condition, lengths, samples=samples)
    alone = redraw(model, ids[1:, :7], condition[1:], [7], samples=samples[1:])
    assert torch.equal(batch[1, :7], alone[0]) and (batch[1, 7:] == model.config.pad_id).all()


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
def test_a_sample_is_the_same_alone_and_in_a_padded_batch(small_generator, mode, guidance_scale):
    model = small_generator(attention_mode=mode)
    lengths, samples = [49, 7, 1, 30], torch.tensor([0, 2, 9, 0])
    condition = torch.randn(4, model.config.condition_dim)
    options = DecodingOptions(guidance_scale=guidance_scale)
    batch = generate(model, condition, lengths, options, seed=11, samples=samples)
    for row, length in enumerate(lengths):
        alone = generate(
            model,
            condition[row : row + 1],
            [length],
            seed=11,
            samples=samples[row : row + 1],
            options=options,
        )
        assert torch.equal(batch[row, :length], alone[0])
        assert (batch[row, length:] == model.config.pad_id).all()


def test_seed_decides_the_tokens(small_generator):
    model = small_generator()
    condition = torch.randn(1, model.config.condition_dim).expand(3, -1)

    def draw(seed, samples=None):
        return generate(
            model, condition, [49, 49, 49], DecodingOptions(num_inference_steps=4), seed=seed, samples=samples
        )

    first = draw(3)
    assert torch.equal(first, draw(3))
    assert not torch.equal(first, draw(4))
    assert not torch.equal(first, draw(3 + 2**40))
    assert not torch.equal(first[0], first[1])
    same = draw(torch.tensor([3, 3, 4]), samples=torch.tensor([1, 1, 1]))
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], first[1])
    assert not torch.equal(same[0], same[2])
    assert torch.equal(draw(-1), draw(2**64 - 1))


@pytest.mark.parametrize("steps", [1, 2, 10, 60])
@pytest.mark.parametrize("length", [1, 7, 49])
def test_every_token_is_a_code(small_generator, steps, length):
    model = small_generator()
    condition = torch.randn(model.config.condition_dim, 2).T
    ids = generate(model, condition, [length, 1], DecodingOptions(num_inference_steps=steps))
    assert ids.shape == (2, length) and ids.dtype == torch.int64
    assert ids[0].max() < model.config.num_codes and ids[1, 0] < model.config.num_codes


def test_schedule_of_the_release(small_generator, recorded_steps):
    model = small_generator()
    generate(model, torch.randn(1, model.config.condition_dim), [49], DecodingOptions(num_inference_steps=10))
    masked = [(ids == model.config.mask_id).sum().item() for ids, _ in recorded_steps]
    assert masked == [49, 48, 46, 42, 38, 31, 24, 17, 9, 1]


def test_schedule_where_rounding_decides():
    """csrc/tests/decode_step_test.cpp has the same: there, a float32 cosine of another processor was one off."""
    for steps, wanted, step, masked in ((183, 144, 61, 125), (260, 169, 121, 126), (299, 117, 193, 61)):
        assert masked_counts(torch.tensor([wanted]), steps)[0, step] == masked


def test_in_painting_leaves_known_tokens(small_generator):
    model = small_generator()
    config = model.config
    known = torch.randint(config.num_codes, (3, 20))
    known[0, 5:9] = config.mask_id
    known[2] = config.mask_id
    condition = torch.randn(3, config.condition_dim)
    ids = generate(model, condition, [20, 13, 7], known=known)
    kept = known != config.mask_id
    assert torch.equal(ids[kept], known[kept])
    assert ids[0].max() < config.num_codes
    assert ids[2, :7].max() < config.num_codes and (ids[2, 7:] == config.pad_id).all()


def test_condition_and_guidance_matter(small_generator):
    model = small_generator()
    condition = torch.randn(2, model.config.condition_dim) * 3
    first, second = (generate(model, c[None], [49], DecodingOptions(num_inference_steps=3)) for c in condition)
    assert not torch.equal(first, second)
    assert not torch.equal(
        first, generate(model, condition[:1], [49], DecodingOptions(num_inference_steps=3, guidance_scale=0.0))
    )


def test_a_scale_of_one_runs_the_model_once_a_step(small_generator):
    model = small_generator()
    rows = []
    model.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    condition = torch.randn(3, model.config.condition_dim)
    generate(model, condition, [7, 7, 7], DecodingOptions(num_inference_steps=2, guidance_scale=1))
    generate(model, condition, [7, 7, 7], DecodingOptions(num_inference_steps=2, guidance_scale=2))
    assert rows == [3, 3, 6, 6]


BAD_INPUT = {
    "zero length": ({"lengths": [0, 7]}, "from 1 to 49"),
    "too long": ({"lengths": [7, 50]}, "from 1 to 49"),
    "fractional length": ({"lengths": [7.0, 3.5]}, "from 1 to 49"),
    "too few lengths": ({"lengths": [7]}, "lengths has shape"),
    "condition width": ({"condition": torch.zeros(2, 3)}, "condition has shape"),
    "no condition": ({"condition": torch.zeros(0, 20), "lengths": []}, "number of conditions"),
    "top_k zero": ({"options": DecodingOptions(top_k=0)}, "top_k"),
    "top_k large": ({"options": DecodingOptions(top_k=41)}, "top_k"),
    "seed of 65 bits": ({"seed": 2**64}, "64 bits"),
    "fractional seed": ({"seed": 0.5}, "64 bits"),
    "seed shape": ({"seed": torch.zeros(3, dtype=torch.int64)}, "shape"),
    "samples shape": ({"samples": torch.zeros(3, dtype=torch.int64)}, "samples has shape"),
    "noise shape": ({"noise": torch.zeros(10, 2, 7, 3)}, "noise has shape"),
    "known shape": ({"known": torch.zeros(3, 7, dtype=torch.int64)}, "known has shape"),
    "known ids": ({"known": torch.full((2, 7), 42)}, "outside 0..41"),
    "known too short": ({"known": torch.zeros(2, 5, dtype=torch.int64)}, "from 1 to 5"),
}


@pytest.mark.parametrize("change, message", BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_sentence(small_generator, change, message):
    arguments = {"condition": torch.zeros(2, 20), "lengths": [7, 3]} | change
    with pytest.raises(LampError, match=message):
        generate(small_generator(), **arguments)


@pytest.mark.parametrize(
    "change",
    [{"num_inference_steps": 0}, {"num_inference_steps": 2.5}, {"temperature": 0.0}, {"guidance_scale": float("nan")}],
)
def test_bad_options_are_one_sentence(change):
    [name] = change
    with pytest.raises(LampError, match=name):
        DecodingOptions(**change)


def test_training_mode_is_refused(small_generator):
    with pytest.raises(LampError, match="eval"):
        generate(small_generator().train(), torch.zeros(1, 20), [7])


@pytest.mark.parametrize("padding", ["released", "exact"])
@pytest.mark.parametrize("in_painting", [False, True])
def test_nothing_waits_for_the_device(small_generator, padding, in_painting):
    """On the meta device there is no data: any value read by the host would raise."""
    model = small_generator(padding=padding).to("meta")
    lengths = torch.empty(3, dtype=torch.int64, device="meta")
    condition = torch.empty(3, model.config.condition_dim, device="meta")
    known = torch.empty(3, 30, dtype=torch.int64, device="meta") if in_painting else None
    ids = generate(model, condition, lengths, known=known)
    assert ids.device.type == "meta"
    assert ids.shape == (3, 30 if in_painting else model.config.max_tokens)


def test_compiles_into_one_graph(small_generator):
    model = small_generator()
    condition = torch.randn(3, model.config.condition_dim)
    expected = generate(model, condition, [49, 7, 1])
    graph = torch.compile(model, backend="eager", fullgraph=True)
    logits = model(expected, condition, torch.tensor([49, 7, 1]))
    torch.testing.assert_close(graph(expected, condition, torch.tensor([49, 7, 1])), logits)
