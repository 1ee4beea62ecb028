"""The whole engine on Triton kernels: every operator of a request runs its kernel, and the motions are the same."""

import pytest
import torch

from lamp_fast import ops
from lamp_fast.backend import Backend, use_backend
from lamp_fast.engine import LampEngine
from lamp_fast.models.decoding import DecodingOptions

OPTIONS = DecodingOptions(num_inference_steps=2)
PROMPTS, LENGTHS = ["a person walks forward", "the person turns left"], [12, 5]


@pytest.fixture
def choices(monkeypatch):
    """Which backend ran which operator."""
    seen = set()
    choose = ops.Operator.choose

    def record(operator, *args, **kwargs):
        choice = choose(operator, *args, **kwargs)
        seen.add((operator.name, choice.backend))
        return choice

    monkeypatch.setattr(ops.Operator, "choose", record)
    return seen


@pytest.mark.parametrize("weights", [None, "int8"])
def test_a_request(device, triton_backend, tiny_lamp, choices, weights):
    engine = LampEngine(tiny_lamp.to(device), dtype=torch.float32, weights=weights)
    with use_backend("eager"):
        expected = engine.generate(PROMPTS, LENGTHS, OPTIONS, seed=3)
        condition = engine.condition(PROMPTS)
    choices.clear()
    got = engine.generate(condition, LENGTHS, OPTIONS, seed=3)
    # float32: the tokens are the same, since no two codes or positions are near a tie here.
    assert torch.equal(got.tokens, expected.tokens)
    torch.testing.assert_close(got.features, expected.features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.joints, expected.joints, atol=1e-4, rtol=1e-4)
    fresh = LampEngine(tiny_lamp, dtype=torch.float32, weights=weights)
    torch.testing.assert_close(fresh.condition(PROMPTS), condition, atol=1e-4, rtol=1e-4)
    assert {backend for _, backend in choices} == {Backend.TRITON}
    assert {"masked_rows", "decode_step", "norm_linear", "upsample_conv"} < {name for name, _ in choices}
