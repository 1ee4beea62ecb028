"""The native core on a GPU: against float64, against the references, and against the engine on PyTorch."""

import pytest
import torch

from lamp_fast import native_cuda, ops
from lamp_fast.backend import use_backend
from lamp_fast.config import GeneratorConfig
from lamp_fast.kernels.decode_step import decode_step_ref
from lamp_fast.models.decoding import DecodingOptions, draw_masked, initial_ids, masked_counts

REASON = "torch sees no GPU" if not torch.cuda.is_available() else native_cuda.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.mark.parametrize(
    "rows, codes, width", [(1, 1, 1), (7, 63, 7), (49, 512, 512), (300, 130, 20), (5000, 512, 100), (63, 33, 101)]
)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_lookup_is_the_nearest_in_float64(rows, codes, width, offset):
    generator = torch.Generator("cuda").manual_seed(rows + codes)
    x = torch.randn(rows, width, generator=generator, device="cuda") + offset
    codebook = torch.randn(codes, width, generator=generator, device="cuda") + offset
    codebook[-1] = codebook[0]
    distance = torch.cat([(part.double()[:, None] - codebook.double()).square().sum(-1) for part in x.split(256)])
    with use_backend("native"):
        assert torch.equal(ops.codebook_lookup(x, codebook), distance.argmin(1))


def test_lookup_runs_in_turn_on_a_stream_of_its_own():
    x, codebook = torch.randn(4000, 64, device="cuda"), torch.randn(512, 64, device="cuda")
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        y = x * 2
        found = native_cuda.codebook_lookup(y, codebook * 2)
    stream.synchronize()
    assert torch.equal(found, native_cuda.codebook_lookup(x, codebook))


@pytest.mark.parametrize("batch, tokens, codes, compact", [(1, 1, 7, False), (3, 49, 512, True), (2, 63, 1030, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decode_step(batch, tokens, codes, compact, dtype):
    generator = torch.Generator("cuda").manual_seed(tokens)
    ids = torch.full((batch, tokens), codes, device="cuda")
    ids[:, ::3] = 1
    scored = max(1, int((ids == codes).sum(1).max())) if compact else tokens
    logits, plain = (3 * torch.randn(2, batch, scored, codes, generator=generator, device="cuda")).to(dtype)
    counts, seeds = torch.full((batch,), tokens // 3, device="cuda"), torch.arange(batch, device="cuda") + 2**40
    arguments = logits, plain, ids, counts, seeds, seeds + 5, None, 3, 4.0, 0.9, -(-codes // 10)
    expected, certain = decode_step_ref(*arguments)
    found, confidence = native_cuda.decode_step(*arguments)
    assert torch.equal(found, expected)
    torch.testing.assert_close(confidence, certain, rtol=1e-5, atol=0)  # logarithms and sums round differently


@pytest.fixture(scope="module")
def lamp():
    from lamp_fast.checkpoints.folder import load_lamp

    return load_lamp("lamp-mini", "cuda").eval()


def requests(config: GeneratorConfig, batch: int, tokens: int, steps: int):
    generator = torch.Generator("cuda").manual_seed(batch + tokens)
    condition = torch.randn(batch, config.condition_dim, generator=generator, device="cuda")
    lengths = (tokens - 3 * torch.arange(batch, device="cuda")).clamp(min=1)
    ids = initial_ids(lengths, None, tokens, config)
    return condition, ids, lengths, torch.arange(batch, device="cuda") + 7, torch.arange(batch, device="cuda")


@pytest.mark.parametrize(
    "batch, tokens, steps, scale", [(1, 49, 10, 4.0), (3, 7, 4, 4.0), (2, 1, 1, 1.0), (40, 33, 3, 2.0)]
)
def test_tokens_are_those_of_the_engine(lamp, batch, tokens, steps, scale):
    from lamp_fast.engine.generator import FusedGenerator
    from lamp_fast.engine.layers import Precision
    from lamp_fast.engine.native_cuda import CudaGenerator

    config, options = lamp.config.generator, DecodingOptions(steps, scale)
    condition, ids, lengths, seeds, samples = requests(config, batch, tokens, steps)
    with use_backend("eager"), torch.inference_mode():
        score = FusedGenerator(lamp.generator, Precision(torch.float32)).score(condition, lengths, options.guided, True)
        counts = masked_counts((ids == config.mask_id).sum(1), steps)
        expected = draw_masked(score, ids, counts, config.num_codes, options, seeds=seeds, samples=samples)
    exact = CudaGenerator(lamp, torch.float32)
    found = exact.draw(options, condition, ids, lengths, seeds, samples)
    same = (found == expected).all(1)
    assert same.float().mean() > 0.9  # a draw that rounding decides changes all that follow it
    assert torch.equal(exact.draw(options, condition, ids, lengths, seeds, samples), found)
    alone = (tensor[-1:] for tensor in (condition, ids, lengths, seeds, samples))
    assert torch.equal(exact.draw(options, *alone)[0], found[-1])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 0.05)])
def test_the_engine_runs_on_it_where_that_is_asked_for(lamp, dtype, tolerance):
    from lamp_fast.backend import asked_backend
    from lamp_fast.engine import LampEngine

    prompts, lengths = ["a person walks forward", "a man waves", "a person turns left"], [33, 49, 7]
    with use_backend("native"):
        engine = LampEngine(lamp, dtype=dtype)
    with use_backend("eager"):
        plain = LampEngine(lamp, dtype=torch.float32)
    assert engine.native_reason is None
    assert asked_backend() or "asked for" in LampEngine(lamp).native_reason
    new, cached = (engine.generate(prompts, lengths, DecodingOptions(4), seed=5) for _ in range(2))
    assert torch.equal(new.tokens, cached.tokens) and torch.equal(new.joints, cached.joints)
    alone = engine.generate(prompts[2:], [7], DecodingOptions(4), seed=5, samples=torch.tensor([2]))
    if dtype == torch.float32:
        expected = plain.generate(prompts, lengths, DecodingOptions(4), seed=5).tokens
        # A draw that rounding decides changes all that follow it.
        assert (new.tokens == expected).all(1).sum() >= 2 and torch.equal(alone.tokens[0], new.tokens[2, :7])
    features, joints = plain.decode(new.tokens, lengths)
    for motions in (new.features, new.joints), engine.decode(new.tokens, lengths):
        assert (motions[0] - features).norm() <= tolerance * features.norm()
        if dtype == torch.float32:  # else steps off by a rounding add up over 196 frames
            torch.testing.assert_close(motions[1], joints, rtol=0, atol=1e-3)  # metres
        assert not motions[1][2, 4 * 7 :].any()
    assert engine.memory()["weights"] > 1_000_000


def test_an_engine_of_many_threads_and_streams(lamp):
    from concurrent.futures import ThreadPoolExecutor

    from lamp_fast.engine import LampEngine

    with use_backend("native"):
        engine = LampEngine(lamp)

    def make(i: int):
        with torch.cuda.stream(torch.cuda.Stream()):
            motions = engine.generate(["a man waves"], [9 + 8 * (i % 3)], DecodingOptions(2), seed=i)
            torch.cuda.current_stream().synchronize()
        return motions

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(12)))
    for i, motions in enumerate(made):
        assert torch.equal(make(i).tokens, motions.tokens) and torch.equal(make(i).joints, motions.joints)


def test_dependent_launches_change_no_bit(lamp):
    from lamp_fast.engine.native_cuda import CudaGenerator

    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("this GPU has no programmatic dependent launch")
    request = requests(lamp.config.generator, 2, 49, 10)
    plain, dependent = (CudaGenerator(lamp, dependent_launch=flag) for flag in (False, True))
    expected = plain.draw(DecodingOptions(), *request)
    for _ in range(20):
        assert torch.equal(dependent.draw(DecodingOptions(), *request), expected)
