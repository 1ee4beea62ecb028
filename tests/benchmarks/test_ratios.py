"""Speed that must not be lost, as ratios within one run: absolute times belong to a machine, ratios to the code."""

import contextlib
from statistics import median

import pytest
import torch

from lamp_fast.profiling.clock import host_timer, interleaved
from lamp_fast.ranges import named

pytest.importorskip("pytest_benchmark")
CPU = torch.device("cpu")

pytestmark = pytest.mark.benchmark(min_rounds=3, max_time=0.2, warmup=False)


@pytest.fixture
def faster(benchmark):
    """faster(reference, candidate): how many times; the candidate's own times go to pytest-benchmark's table."""

    def ratio(reference, candidate, rounds=5) -> float:
        timers = {"reference": host_timer(reference, CPU), "candidate": host_timer(candidate, CPU)}
        times = interleaved(timers, seconds=0, min_calls=rounds)
        benchmark.extra_info["ratio"] = median(times["reference"]) / median(times["candidate"])
        benchmark(candidate)
        return benchmark.extra_info["ratio"]

    return ratio


def test_batched_features(benchmark_script, faster):
    """Measured: 26 to 40 times the released way, one clip after the other."""
    case = benchmark_script("bench_motion")._case(clips=8)
    assert faster(case.ways["released"], case.ways["batched"]) > 6


def test_a_range_that_is_off(faster):
    """As cheap as an empty block: a test and a call more."""

    def empty():
        for _ in range(2000):
            with contextlib.nullcontext():
                pass

    def off():
        for _ in range(2000):
            with named("tokens"):
                pass

    assert faster(empty, off, rounds=9) > 0.5
