"""Ranges: nothing when off, seen by profilers when on."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from lamp_fast import ranges


def test_off_is_one_object_that_does_nothing():
    assert ranges.named("text") is ranges.named("tokens")
    assert isinstance(ranges.named("text"), nullcontext)


def test_recorded_ranges_are_in_the_profile():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, ranges.recorded():
        with ranges.named("tokens"):
            torch.ones(2)
    assert "tokens" in {event.key for event in profile.key_averages()}
    assert ranges.named("text") is ranges.named("tokens")


def test_nvtx_by_the_environment(monkeypatch):
    pytest.importorskip("nvtx")
    monkeypatch.setenv("LAMP_FAST_NVTX", "1")
    code = """
import nvtx
from lamp_fast.ranges import named
with named("tokens") as _:
    pass
assert isinstance(named("tokens"), nvtx.annotate), type(named("tokens"))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
