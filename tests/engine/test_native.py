"""The native core gives the motions of the models, whatever their sizes, the lengths, the batch and the threads."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from lamp_fast import config
from lamp_fast.backend import use_backend
from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.engine import LampEngine
from lamp_fast.engine.native_file import native_bytes
from lamp_fast.errors import LampError
from lamp_fast.metrics.physics import foot_skating, jerk
from lamp_fast.models.decoding import DecodingOptions, generate, model_score
from lamp_fast.models.lamp import Lamp
from lamp_fast.motion.features import features_to_joints

native = pytest.importorskip("lamp_fast._native", reason="the C++ module is not built")

PROMPTS = ["a person walks forward", "the person waves with the right hand", "a person turns left"]
OPTIONS = DecodingOptions(num_inference_steps=5)
ISAS = ["portable", "avx2", "avx512", "avx512_vnni_bf16", "neon"]

# Widths that are no multiple of a vector, odd ones of heads, one layer, one head, 63 codes, codes of one number, other
# depths and dilations, KIT's 21 joints.
SIZES = {
    "soft": {},
    "causal": {"mode": "causal", "width": 21, "heads": 3, "layers": 3, "codes": 63, "code_dim": 7},
    "full": {"mode": "full", "width": 40, "heads": 1, "layers": 1, "feedforward": 72, "conv": 20},
    "wide": {"mode": "full", "width": 96, "heads": 2, "layers": 2, "feedforward": 130, "codes": 130, "conv": 33},
    "kit": {"dataset": "kit", "code_dim": 1, "layers": 4, "text_layers": 3, "every": 3, "depth": 2, "growth": 2},
    "reader": {"encoder": True, "text_width": 45, "text_heads": 5, "embed": 9, "queries": 63, "tokens": 49},
}


def random_lamp(tiny_lamp, name, mode="soft_causal", dataset="humanml3d", encoder=False, **given):
    size = {
        "width": 32, "heads": 2, "layers": 2, "feedforward": 48, "codes": 24, "code_dim": 16, "conv": 32, "depth": 3,
        "growth": 3, "tokens": 49, "text_width": 32, "text_heads": 2, "text_layers": 2, "every": 2, "embed": 16,
        "queries": 49,
    } | given  # fmt: skip
    torch.manual_seed(len(name))
    features = 263 if dataset == "humanml3d" else 251
    convolutions = {"code_dim": size["code_dim"], "num_codes": size["codes"], "dropout": 0.0, "feature_dim": features}
    lamp = Lamp(
        config.LampConfig(
            dataset=dataset,
            tokenizer=config.TokenizerConfig(
                width=size["conv"], depth=size["depth"], dilation_growth=size["growth"], **convolutions
            ),
            language_motion=config.LanguageMotionConfig(
                vocab_size=len(tiny_lamp.text_tokenizer.pieces),
                hidden_size=size["text_width"],
                num_layers=size["text_layers"],
                num_heads=size["text_heads"],
                cross_attention_every=size["every"],
                intermediate_size=52,
                query_intermediate_size=36,
                max_positions=20,
                num_queries=size["queries"],
                memory_width=40,
                code_dim=size["code_dim"],
                num_codes=size["codes"],
                embed_dim=size["embed"],
                max_text_tokens=17,
            ),
            generator=config.GeneratorConfig(
                num_codes=size["codes"],
                code_dim=size["code_dim"],
                width=size["width"],
                num_layers=size["layers"],
                num_heads=size["heads"],
                feedforward_size=size["feedforward"],
                condition_dim=size["text_width"],
                max_tokens=size["tokens"],
                attention_mode=mode,
            ),
            length=config.LengthConfig(condition_dim=size["text_width"], hidden_size=18, max_tokens=size["tokens"]),
            motion_encoder=config.TokenizerConfig(width=28, **convolutions) if encoder else None,
        ),
        tiny_lamp.text_tokenizer,
        mean=torch.randn(features) * 0.1,
        std=torch.rand(features) + 0.5,
    )
    with torch.no_grad():
        for parameter in lamp.parameters():  # norms with scales and shifts, logits of order 1
            parameter.add_(torch.randn_like(parameter) * 0.1)
    torch.nn.init.normal_(lamp.tokenizer.codebook.vectors)
    return lamp.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=SIZES)
def lamp(request, tiny_lamp):
    return random_lamp(tiny_lamp, request.param, **SIZES[request.param])


@pytest.fixture(scope="module")
def engine(lamp):
    engine = LampEngine(lamp)
    assert engine.native_reason is None
    return engine


def words(lamp, prompts):
    ids, mask = lamp.text_tokenizer(prompts, lamp.config.language_motion.max_text_tokens)
    return ids, mask.sum(1)


def close(got, expected):
    # Sums of some hundred float32 products in another order, values of order 1 to 10.
    torch.testing.assert_close(torch.as_tensor(got), expected, atol=5e-5, rtol=5e-5)


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("lengths", [[1], [7], [49], [49, 1, 7]], ids=str)
def test_motions_of_the_models(lamp, engine, lengths, guided):
    options = replace(OPTIONS, guidance_scale=4.0 if guided else 1.0)
    prompts = PROMPTS[: len(lengths)]
    motions = engine.generate(prompts, lengths, options, seed=7)
    condition = lamp.condition(prompts)
    close(engine.condition(prompts), condition)
    assert torch.equal(motions.tokens, generate(lamp.generator, condition, lengths, options, seed=7))
    for row, length in enumerate(lengths):
        features = lamp.decode(motions.tokens[row : row + 1, :length])[0]
        close(motions.features[row, : 4 * length], features)
        # Turns and steps add up over 196 frames: in float64, as the core does.
        joints = features_to_joints(motions.features[row, : 4 * length].double(), lamp.skeleton).float()
        torch.testing.assert_close(motions.joints[row, : 4 * length], joints, atol=1e-4, rtol=1e-5)
        assert not motions.features[row, 4 * length :].any() and not motions.joints[row, 4 * length :].any()


def test_known_tokens_stay_and_steer(lamp, engine):
    generator, condition = lamp.config.generator, lamp.condition(PROMPTS[:2])
    known = torch.randint(generator.num_codes, (2, 30), generator=torch.Generator().manual_seed(1))
    known[0, 3:9], known[1, ::2] = generator.mask_id, generator.mask_id
    for lengths in ([30, 30], [30, 11]):
        tokens = engine.tokens(condition, lengths, OPTIONS, known=known, seed=3)
        assert torch.equal(tokens, generate(lamp.generator, condition, lengths, OPTIONS, known=known, seed=3))
    nothing_wanted = known.clamp(max=generator.num_codes - 1)
    assert torch.equal(engine.tokens(condition, [30, 30], OPTIONS, known=nothing_wanted), nothing_wanted)


def test_options_seeds_and_samples(lamp, engine):
    condition, lengths = lamp.condition(PROMPTS), [9, 21, 14]
    options = DecodingOptions(num_inference_steps=3, guidance_scale=2.5, temperature=0.7, top_k=5)
    chosen = {"seed": torch.tensor([-1, 2**62, 5]), "samples": torch.tensor([7, 0, 2**33 + 1])}
    expected = generate(lamp.generator, condition, lengths, options, **chosen)
    assert torch.equal(engine.tokens(condition, lengths, options, **chosen), expected)


@pytest.mark.parametrize("guided", [True, False])
def test_logits_of_the_model(lamp, guided):
    mask_id, lengths = lamp.config.generator.mask_id, torch.tensor([23, 9])
    ids = torch.randint(mask_id, (2, 23), generator=torch.Generator().manual_seed(4))
    ids[:, ::2] = mask_id
    ids[1, 9:] = lamp.config.generator.pad_id
    condition = lamp.condition(PROMPTS[:2])
    expected = model_score(lamp.generator, condition, lengths, guided)(ids, 23)
    got = torch.from_numpy(native.Model(native_bytes(lamp)).score(condition, ids, lengths, guided))
    masked = ids == mask_id
    for ours, theirs in zip(got, expected):
        close(ours[masked], theirs[masked])


def test_reading_and_lengths(lamp, engine):
    model = native.Model(native_bytes(lamp))
    condition = lamp.condition(PROMPTS)
    assert model.length(condition).tolist() == lamp.length.predict(condition).tolist()
    close(model.read(PROMPTS), condition)
    ids, lengths = words(lamp, PROMPTS)
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    close(model.text_embedding(ids, lengths), lamp.language_motion.text_embedding(ids, mask))
    torch.manual_seed(2)
    for frames in (4, 31, 196, 400):
        features = torch.randn(frames, len(lamp.mean))
        whole = features[: min(frames, 196) // 4 * 4]
        latents, tokens = lamp.read_motions([whole])
        close(model.motion_embedding(features), lamp.language_motion.motion_embedding(latents, tokens)[0])
        assert (model.encode(features) == lamp.encode(features[None, : frames // 4 * 4])[0].numpy()).all()


def test_long_motions_are_decoded(lamp, engine):
    tokens = torch.randint(lamp.config.generator.num_codes, (2, 130))
    features, joints = engine.decode(tokens, [130, 71])
    close(features[:1], lamp.decode(tokens[:1]))
    close(features[1:, :284], lamp.decode(tokens[1:, :71]))
    assert not features[1, 284:].any() and joints.shape == (2, 520, lamp.skeleton.num_joints, 3)


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8"])
def test_threads_batches_and_repetition_change_no_bit(lamp, precision):
    file = native_bytes(lamp)
    condition, generator = lamp.condition(PROMPTS), lamp.config.generator
    ids = torch.full((3, 30), generator.mask_id)
    lengths, samples = torch.tensor([30, 13, 1]), torch.arange(3)
    for row, length in enumerate(lengths):
        ids[row, length:] = generator.pad_id

    def made(model, rows):
        options = 4, 4.0, 1.0, 3, True
        seeds = torch.full_like(samples, 9)
        return [
            torch.from_numpy(part)
            for part in model.generate(condition[rows], ids[rows], lengths[rows], seeds[rows], samples[rows], *options)
        ]

    alone = native.Model(file, precision, 1)
    expected = made(alone, slice(None))
    for threads in (2, 3, 7):
        model = native.Model(file, precision, threads)
        for _ in range(2):  # a second time with what the workspace remembers
            for got, wanted in zip(made(model, slice(None)), expected, strict=True):
                assert torch.equal(got, wanted)
        for row in range(3):
            for got, wanted in zip(made(model, slice(row, row + 1)), expected, strict=True):
                assert torch.equal(got, wanted[row : row + 1])
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: made(alone, slice(None)), range(8)):
            assert all(torch.equal(got, wanted) for got, wanted in zip(result, expected, strict=True))


def test_what_is_kept_of_other_lengths_changes_nothing(tiny_lamp):
    engine, condition = LampEngine(tiny_lamp), tiny_lamp.condition(PROMPTS[:1])
    for length in [*range(1, 13), *range(1, 13), 12, 4, 12]:
        expected = generate(tiny_lamp.generator, condition, [length], OPTIONS, seed=length)
        assert torch.equal(engine.tokens(condition, [length], OPTIONS, seed=length), expected)


def test_memory_grows_with_the_length_and_not_with_its_square(tiny_lamp):
    short, long = (
        native.Model(native_bytes(random_lamp(tiny_lamp, "long", tokens=tokens, codes=512))).workspace_bytes
        for tokens in (150, 300)
    )
    assert long < 2.1 * short


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_draws_the_same_tokens(lamp, isa):
    try:
        model = native.Model(native_bytes(lamp), isa=isa)
    except ValueError as error:
        pytest.skip(str(error))
    condition = lamp.condition(PROMPTS[:1])
    ids = torch.full((1, 40), lamp.config.generator.mask_id)
    tokens, features, _ = model.generate(
        condition, ids, torch.tensor([40]), torch.tensor([3]), torch.tensor([0]), 5, 4.0, 1.0, 3, True
    )
    options = replace(OPTIONS, top_k=3)
    assert (tokens == generate(lamp.generator, condition, [40], options, seed=3).numpy()).all()
    close(features, lamp.decode(torch.from_numpy(tokens)))


NARROW = {"bf16": ({"dtype": torch.bfloat16}, 0.01), "int8": ({"weights": "int8"}, 0.03)}


@pytest.mark.parametrize(("options", "allowed"), NARROW.values(), ids=NARROW)
def test_narrow_numbers_stay_near(lamp, options, allowed):
    """Logits move by about a hundredth; the drawn motion differs, so what is compared is read from the same tokens."""
    engine = LampEngine(lamp, **options)
    assert engine.native_reason is None
    condition = lamp.condition(PROMPTS)
    error = (engine.condition(PROMPTS) - condition).abs().max() / condition.abs().max()
    assert error < 0.05
    tokens = torch.randint(lamp.config.generator.num_codes, (1, 49))
    features, _ = engine.decode(tokens, [49])
    expected = lamp.decode(tokens)
    assert (features - expected).square().mean().sqrt() < allowed * expected.square().mean().sqrt()


def test_convolutions_in_int8_show_the_same_motion():
    """Joints are off by a millimetre, where those of the tokenizer are by 32; nothing trembles and no foot slides."""
    lamp = load_lamp("lamp-mini")
    motions = LampEngine(lamp).generate(PROMPTS, [49, 49, 31], seed=1)
    _, joints = LampEngine(lamp, weights="int8").decode(motions.tokens, [49, 49, 31])
    for row, frames in enumerate((196, 196, 124)):
        exact, narrow = motions.joints[row, :frames], joints[row, :frames]
        assert ((narrow - narrow[:, :1]) - (exact - exact[:, :1])).norm(dim=-1).mean() < 0.002
        assert jerk(narrow, lamp.skeleton.fps) < jerk(exact, lamp.skeleton.fps) + 6  # 0.75 mm / frame^3
        assert foot_skating(narrow, lamp.skeleton) < foot_skating(exact, lamp.skeleton) + 0.02


def test_what_the_core_has_not_runs_on_pytorch(tiny_lamp):
    with use_backend("eager"):
        assert "eager is asked for" in LampEngine(tiny_lamp).native_reason
    assert "float16" in LampEngine(tiny_lamp, dtype=torch.float16).native_reason
    assert "fp8" in LampEngine(tiny_lamp, weights="fp8").native_reason
    released = deepcopy(tiny_lamp)
    released.generator.config = replace(released.generator.config, padding="released")
    released.config = replace(released.config, generator=released.generator.config)
    engine = LampEngine(released)
    assert "released" in engine.native_reason
    tokens = generate(released.generator, released.condition(PROMPTS[:1]), [7], OPTIONS)
    assert torch.equal(engine.generate(PROMPTS[:1], [7], OPTIONS).tokens, tokens)


def test_bad_arguments_are_one_sentence(tiny_lamp):
    model = native.Model(native_bytes(tiny_lamp))
    good = [torch.zeros(1, 32), torch.full((1, 5), 24), *(torch.tensor([5]) for _ in range(3)), 3, 4.0, 1.0, 0, True]
    model.generate(*good)
    for place, value, words_expected in (
        (0, torch.zeros(1, 31), r"\(B, 32\)"),
        (0, torch.zeros(1, 32).double(), "float32"),
        (1, torch.full((1, 5), 26), "known token 0 is 26"),
        (1, torch.full((1, 13), 24), "13 tokens are wanted|expected 1 to"),
        (2, torch.tensor([0]), "expected 1 to 5"),
        (2, torch.tensor([6]), "expected 1 to 5"),
        (5, 0, "steps is 0"),
        (6, float("nan"), "finite"),
        (7, 0.0, "above 0"),
        (8, 25, "top_k is 25"),
    ):
        arguments = list(good)
        arguments[place] = value
        if place == 1 and value.shape[1] == 13:
            arguments[2] = torch.tensor([13])
        with pytest.raises(ValueError, match=words_expected):
            model.generate(*arguments)
    with pytest.raises(ValueError, match="precision is 'f8'"):
        native.Model(native_bytes(tiny_lamp), "f8")
    with pytest.raises(ValueError):
        native.Model(b"nothing")
    with pytest.raises(ValueError):
        native.Model("no/such/file")
    with pytest.raises(ValueError, match="code from 0 to 23"):
        model.decode(torch.tensor([[3, 24]]), torch.tensor([2]))
    engine = LampEngine(tiny_lamp)
    with pytest.raises(LampError, match="from 1 to 12"):
        engine.tokens(torch.zeros(1, 32), [13])
