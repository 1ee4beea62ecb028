"""The engine's graphs, of PyTorch's operators, of Triton kernels and of the native core, make the models' motions."""

import pytest
import torch

from lamp_fast import native_cuda
from lamp_fast.backend import available, use_backend
from lamp_fast.engine import LampEngine
from lamp_fast.models.decoding import DecodingOptions, generate
from lamp_fast.motion.features import features_to_joints

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

WORDS = "a person man walks runs turns jumps waves kicks forward backward left right slowly quickly twice".split()


@pytest.fixture(scope="module")
def lamp():
    from lamp_fast.checkpoints.folder import load_lamp

    return load_lamp("lamp-mini", "cuda").eval()


def prompts(batch: int) -> list[str]:
    return [f"a person {WORDS[2 + i % 14]} {WORDS[2 + i * 5 % 14]} {WORDS[2 + i // 7 % 14]}" for i in range(batch)]


def engine(lamp, backend: str, **options) -> LampEngine:
    if backend == "native" and native_cuda.why_not() is not None:
        pytest.skip(native_cuda.why_not())
    if not available()[backend].works:
        pytest.skip(available()[backend].reason)
    if options.get("dependent_launch") and torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("this GPU has no programmatic dependent launch")
    with use_backend(backend):
        return LampEngine(lamp, **options)


def requests(lamp, batch: int):
    """Conditions (B,C) and lengths of as many requests."""
    with use_backend("eager"), torch.no_grad():
        return lamp.condition(prompts(batch)), [49 - 5 * i % 43 for i in range(batch)]


def expected(lamp, batch: int, steps: int) -> torch.Tensor:
    condition, lengths = requests(lamp, batch)
    with use_backend("eager"), torch.no_grad():
        return generate(lamp.generator, condition, lengths, DecodingOptions(steps), seed=3)


def made(lamp, backend: str, batch: int, steps: int, **options):
    """By an engine that is made on `backend` and runs on it."""
    condition, lengths = requests(lamp, batch)
    made_by = engine(lamp, backend, **options)
    with use_backend(backend):
        return made_by.generate(condition, lengths, DecodingOptions(steps), seed=3)


# The sizes differ in the kernels that are chosen: tiles, one kernel or two, rows picked or not.
@pytest.mark.parametrize("batch", [1, 7, 40, 150])
@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("backend", ["eager", "triton", "native"])
def test_motions_are_those_of_the_models(lamp, backend, dependent, batch):
    right = expected(lamp, batch, 10)
    got = made(lamp, backend, batch, 10, dtype=torch.float32, dependent_launch=dependent)
    same = (got.tokens == right).all(1)
    # A draw that rounding decides changes all that follow it.
    assert same.sum() >= 0.8 * batch, f"{same.sum()} of {batch}"
    for row in same.nonzero()[:3, 0].tolist():
        length = int(got.lengths[row])
        with use_backend("eager"), torch.no_grad():
            features = lamp.decode(right[row : row + 1, :length])[0]
        joints = features_to_joints(features, lamp.skeleton)
        torch.testing.assert_close(got.features[row, : 4 * length], features, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(got.joints[row, : 4 * length], joints, rtol=0, atol=1e-2)  # metres


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("backend", ["triton", "native"])
def test_one_step_in_half_precision(lamp, backend, batch):
    right = expected(lamp, batch, 1)
    of_eager, agreement = (
        (made(lamp, name, batch, 1, dtype=torch.bfloat16).tokens == right).float().mean() for name in ("eager", backend)
    )
    assert agreement > of_eager - 0.15, f"{agreement:.0%}; eager {of_eager:.0%}"


@pytest.mark.parametrize("backend", ["eager", "triton", "native"])
def test_a_prompt_is_read(lamp, backend):
    with use_backend("eager"), torch.no_grad():
        expected = lamp.condition(prompts(9))
    with use_backend(backend):
        got = engine(lamp, backend, dtype=torch.float32).condition(prompts(9))
    assert (got - expected).norm() <= 1e-4 * expected.norm()
