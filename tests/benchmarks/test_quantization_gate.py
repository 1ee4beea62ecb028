"""The accuracy gate of 8-bit weights, on half of its prompts and few steps of the bundled model."""

from dataclasses import replace

import pytest
import torch

from lamp_fast.checkpoints.folder import find_lamp, load_lamp
from lamp_fast.models import quantization
from lamp_fast.models.decoding import DecodingOptions

OPTIONS = DecodingOptions(num_inference_steps=3)


@pytest.fixture(scope="module")
def gate(benchmark_script):
    return benchmark_script("quantization_gate")


@pytest.fixture(scope="module")
def lamp():
    if not find_lamp("lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    return load_lamp("lamp-mini")


@pytest.fixture(scope="module")
def asked(gate, lamp):
    with torch.no_grad():
        return gate.requests(lamp, list(gate.PROMPTS)[::2], 1)


@torch.no_grad()
def test_every_scheme_keeps_its_bound(gate, lamp, asked):
    rows = {row["scheme"]: row for row in gate.rows(lamp, asked, OPTIONS)}
    assert [row for row in map(gate.beyond_bound, rows.values()) if row] == []
    assert rows["fp32"]["tokens"] == 1 and rows["fp32"]["KL"] == 0
    assert all(0 < row["KL"] < 0.02 and row["top-1"] > 0.85 for name, row in rows.items() if name != "fp32")


@torch.no_grad()
def test_four_bits_do_not(gate, lamp, asked, monkeypatch):
    eight = quantization.quantize_weight

    def four(weight, dtype):
        weight8, scale = eight(weight, "int8")
        return (weight8 / 16).round().to(torch.int8), scale * 16

    monkeypatch.setattr(quantization, "quantize_weight", four)
    few = replace(asked, condition=asked.condition[:4], lengths=torch.tensor([12, 7, 12, 9]), samples=asked.samples[:4])
    rows = {row["scheme"]: row for row in gate.rows(lamp, few, OPTIONS)}
    assert "at most 1.5" in gate.beyond_bound(rows["w8a16-int8"])
    assert gate.beyond_bound(rows["w8a8-int8"]) and not gate.beyond_bound(rows["bf16"])


def test_stored_weights_leave_the_grid_and_others_stay(gate, lamp, tiny_lamp):
    moved = gate.off_the_grid(lamp.generator)
    old, new = lamp.generator.layers[0].ff1.weight, moved.layers[0].ff1.weight
    step = old.detach().abs().amax(1, keepdim=True) / 127
    distance = (new - old).abs() / step
    assert distance.max() < 0.501 and distance.mean() > 0.2
    assert torch.equal(moved.layers[0].ff1.bias, lamp.generator.layers[0].ff1.bias)
    for name, weight in gate.off_the_grid(tiny_lamp.generator).state_dict().items():
        assert torch.equal(weight, tiny_lamp.generator.state_dict()[name])
