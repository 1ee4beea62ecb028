"""Counted work against torch's own counter; floors."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lamp_fast.profiling.peaks import KNOWN, Peaks, device_peaks
from lamp_fast.profiling.work import decoder_work, decoding_work, text_work


def counted(call) -> float:
    # Of attention torch counts the products, not its fused kernel for CPUs.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops()


def linear_bytes(*modules) -> int:
    """float32 weights of all products below; embeddings are looked up."""
    kinds = (torch.nn.Linear, torch.nn.Conv1d)
    return sum(4 * m.weight.numel() for module in modules for m in module.modules() if isinstance(m, kinds))


def test_decoding(tiny_lamp):
    model, config, n = tiny_lamp.generator, tiny_lamp.config.generator, 7
    ids, condition = torch.zeros(2, n, dtype=torch.int64), torch.randn(2, config.condition_dim)
    into = 2 * 2 * config.width * (n * config.code_dim + config.condition_dim)
    work = decoding_work(config, batch=1, tokens=n, steps=3, weight_bytes=4)
    assert work.flops == 3 * (counted(lambda: model(ids, condition, None)) - into)
    assert work.bytes == linear_bytes(model.layers, model.head)
    assert decoding_work(config, 1, n, 3, guided=False).flops == work.flops / 2


def test_decoder(tiny_lamp):
    model, config, n = tiny_lamp.tokenizer, tiny_lamp.config.tokenizer, 5
    merged = sum(2 * 2 * n * 2**i * 2 * config.width**2 for i in range(config.down_blocks))
    work = decoder_work(config, 3, n, weight_bytes=4)
    assert work.flops == counted(lambda: model.decode(torch.zeros(3, n, dtype=torch.int64))) - 3 * merged / 2
    assert work.bytes == linear_bytes(model.decoder) + 4 * config.down_blocks * config.width**2


def test_text(tiny_lamp):
    model, config, words = tiny_lamp.language_motion, tiny_lamp.config.language_motion, 6
    ids = torch.ones(2, words, dtype=torch.int64)
    work = text_work(config, 2, words)
    assert work.flops == counted(lambda: model.condition(ids, torch.ones_like(ids)))


def test_floor_is_the_longer_of_arithmetic_and_memory():
    peaks = Peaks({"bf16": 1e12}, 1e9, "")
    assert peaks.floor_ms(1e12, 1e6, "bf16") == pytest.approx(1000)
    assert peaks.floor_ms(1e9, 1e9, "bf16") == pytest.approx(1000)


def test_peaks_of_this_machine_are_measured_once():
    peaks = device_peaks(torch.device("cpu"))
    assert peaks is device_peaks(torch.device("cpu"))
    assert all(1e8 < rate < 1e15 for rate in peaks.flops.values()) and 1e8 < peaks.bytes < 1e13
    assert peaks.flops.keys() == next(iter(KNOWN.values())).flops.keys()


def test_an_h100_has_its_dense_rates():
    peaks = KNOWN["NVIDIA H100 80GB HBM3"]
    assert peaks.flops["bf16"] == 989.4e12 and peaks.flops["int8"] == 1978.8e12 and peaks.bytes == 3.35e12
    assert replace(peaks, bytes=1.0).floor_ms(0, 1, "fp32") == 1000
