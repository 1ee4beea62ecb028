"""The engine on csrc/cuda, whose kernels run on the CPU here: every line between a request and the GPU but its driver.

The module is that of `make test`, build/ctest, or of the folder that LAMP_FAST_CTEST names.
"""

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import lamp_fast
from lamp_fast import native_cuda
from lamp_fast.backend import Availability, Backend, available, use_backend
from lamp_fast.engine import LampEngine
from lamp_fast.engine import native as choice
from lamp_fast.engine import native_cuda as engine_part
from lamp_fast.engine.layers import Precision
from lamp_fast.engine.native_cuda import CudaGenerator
from lamp_fast.errors import LampError
from lamp_fast.models.decoding import DecodingOptions, generate
from lamp_fast.motion.features import features_to_joints

BUILD = Path(os.environ.get("LAMP_FAST_CTEST", Path(__file__).resolve().parents[2] / "build/ctest"))
WALK, WAVE, TURN = "a person walks forward", "the person waves with the right hand", "a person turns left"
OPTIONS = DecodingOptions(num_inference_steps=3)


@pytest.fixture(scope="module")
def emulated():
    built = list(BUILD.glob("cuda_emulated*.so"))
    if not built:
        pytest.skip(f"cuda_emulated is not built in {BUILD}")
    spec = importlib.util.spec_from_file_location("cuda_emulated", built[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def generator(emulated, tiny_lamp, monkeypatch):
    available()  # asked once in a process, of the true module
    monkeypatch.setattr(lamp_fast, "_native", emulated, raising=False)
    monkeypatch.setattr(engine_part, "why_not", lambda: None)
    monkeypatch.setattr(engine_part, "stream_of", lambda tensor: nullcontext(0))
    return CudaGenerator(tiny_lamp, torch.float32)


@pytest.fixture
def engine(generator, tiny_lamp):
    """As on a GPU, but for the graph that reads prompts, whose function is called."""
    with use_backend("eager"):
        engine = LampEngine(tiny_lamp)
    engine._static, engine._native = True, generator
    return engine


def check(lamp, motions, condition, lengths, options, **seeds):
    """Tokens are those of the models, frames those of the decoder, zeros beyond a length."""
    assert torch.equal(motions.tokens, generate(lamp.generator, condition, lengths, options, **seeds))
    assert motions.tokens.shape == (len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        features = lamp.decode(motions.tokens[row : row + 1, :length])[0]
        torch.testing.assert_close(motions.features[row, : 4 * length], features, atol=1e-5, rtol=1e-5)
        joints = features_to_joints(features, lamp.skeleton)
        torch.testing.assert_close(motions.joints[row, : 4 * length], joints, atol=1e-4, rtol=1e-5)
        assert not motions.features[row, 4 * length :].any() and not motions.joints[row, 4 * length :].any()


@pytest.mark.parametrize("guidance", [4.0, 1.0])
@pytest.mark.parametrize("lengths", [[1], [12, 5], [7, 12, 1]], ids=str)
def test_motions_of_the_models(tiny_lamp, engine, lengths, guidance):
    prompts, options = [WALK, WAVE, TURN][: len(lengths)], DecodingOptions(3, guidance, temperature=0.8, top_k=5)
    condition = tiny_lamp.condition(prompts)
    for _ in ("new", "cached"):
        check(tiny_lamp, engine.generate(prompts, lengths, options, seed=7), condition, lengths, options, seed=7)


def test_seeds_and_samples(tiny_lamp, engine):
    seeds = {"seed": torch.tensor([-1, 2**62, 5]), "samples": torch.tensor([7, 0, 2**33 + 1])}
    condition = tiny_lamp.condition([WALK, WAVE, TURN])
    motions = engine.generate(condition, torch.tensor([4, 9, 3], dtype=torch.int32), OPTIONS, **seeds)
    check(tiny_lamp, motions, condition, [4, 9, 3], OPTIONS, **seeds)


def test_known_tokens_stay_and_steer(tiny_lamp, engine):
    condition, config = tiny_lamp.condition([WALK, WAVE]), tiny_lamp.config.generator
    known = torch.randint(config.num_codes, (2, 9), generator=torch.Generator().manual_seed(1))
    known[0, 3:5], known[1, ::2] = config.mask_id, config.mask_id
    for lengths in ([9, 9], [9, 6]):
        tokens = engine.tokens(condition, lengths, OPTIONS, known=known, seed=3)
        assert torch.equal(tokens, generate(tiny_lamp.generator, condition, lengths, OPTIONS, known=known, seed=3))


@pytest.mark.parametrize("width", [5, 31])  # more than the generator ever makes
def test_tokens_are_decoded(tiny_lamp, engine, width):
    tokens = torch.randint(tiny_lamp.config.generator.num_codes, (3, width))
    lengths = [width, 1, width // 2]
    features, joints = engine.decode(tokens, lengths)
    assert joints.shape == (3, 4 * width, 22, 3)
    for row, length in enumerate(lengths):
        expected = tiny_lamp.decode(tokens[row : row + 1, :length])[0]
        torch.testing.assert_close(features[row, : 4 * length], expected, atol=1e-5, rtol=1e-5)
        assert not features[row, 4 * length :].any() and not joints[row, 4 * length :].any()


def test_requests_of_a_bucket_share_its_plan(engine, generator, monkeypatch):
    engine.warm_up([4], [12], OPTIONS)
    engine.generate([WALK] * 3, [3, 3, 3], OPTIONS)
    engine.generate([WALK, WAVE, TURN, WALK], [12, 1, 1, 1], DecodingOptions(3, guidance_scale=2.0, temperature=0.5))
    assert list(generator._plans) == [(4, 12, 3, True, True)]
    assert engine.memory()["weights"] > generator.nbytes > 10_000
    monkeypatch.setattr(engine_part, "MAX_PLANS", 2)
    for steps in (1, 2):
        engine.generate([WALK], [3], DecodingOptions(steps))
    assert list(generator._plans) == [(1, 12, 1, True, True), (1, 12, 2, True, True)]


def test_threads_do_not_mix(tiny_lamp, engine):
    requests = [([WALK, WAVE][: 1 + i % 2], [[5], [12, 3]][i % 2], i) for i in range(6)]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda r: engine.generate(r[0], r[1], OPTIONS, seed=r[2]), requests))
    for motions, (prompts, lengths, seed) in zip(made, requests, strict=True):
        check(tiny_lamp, motions, tiny_lamp.condition(prompts), lengths, OPTIONS, seed=seed)


def test_bfloat16_draws_codes(tiny_lamp, generator):
    half, config = CudaGenerator(tiny_lamp), tiny_lamp.config.generator
    ids, numbers = torch.full((2, 5), config.mask_id), torch.arange(2)
    drawn = half.draw(OPTIONS, tiny_lamp.condition([WALK, WAVE]).bfloat16(), ids, None, numbers, None)
    assert (drawn < config.num_codes).all()
    assert half.nbytes < generator.nbytes + sum(plan.bytes for plan in half._plans.values())


def test_what_the_gpu_does_not_cover_is_said(tiny_lamp, generator):
    with pytest.raises(LampError, match="float32 or bfloat16"):
        CudaGenerator(tiny_lamp, torch.float16)
    with pytest.raises(LampError, match="tokens is 13; it must be 1 to 12"):
        generator.draw(OPTIONS, torch.zeros(1, 32), torch.zeros(1, 13, dtype=torch.int64), None, torch.zeros(1), None)


def reason(monkeypatch, lamp, backend, dtype=torch.bfloat16, weights=None, gpu=None):
    """Why a model on a GPU, in a process that can use it or says why not, would run on PyTorch."""
    there = SimpleNamespace(device=torch.device("cuda", 0), config=lamp.config)
    monkeypatch.setattr(choice, "asked_backend", lambda: backend)
    monkeypatch.setattr(choice, "available", lambda: {Backend.NATIVE: Availability(True, "")})
    monkeypatch.setattr(native_cuda, "why_not", lambda: gpu)
    return choice.why_not_native(there, Precision(dtype, weights))


def test_on_a_gpu_it_has_to_be_asked_for(monkeypatch, tiny_lamp):
    assert reason(monkeypatch, tiny_lamp, Backend.NATIVE) is None
    assert "LAMP_FAST_BACKEND=native" in reason(monkeypatch, tiny_lamp, None)
    assert "triton is asked for" in reason(monkeypatch, tiny_lamp, Backend.TRITON)
    assert reason(monkeypatch, tiny_lamp, Backend.NATIVE, gpu="it is Sunday") == "it is Sunday"
    assert "float16 on a GPU" in reason(monkeypatch, tiny_lamp, Backend.NATIVE, torch.float16)
    assert "int8 on a GPU" in reason(monkeypatch, tiny_lamp, Backend.NATIVE, weights="int8")
