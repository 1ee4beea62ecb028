"""Clocks and counters; those of a GPU against a pretended one, where there is none."""

import pytest
import torch

from lamp_fast.profiling import clock


def test_quantiles():
    times = [float(i) for i in range(100)]
    assert clock.quantiles(times) == {"p10": 10.0, "p50": 49.5, "p90": 90.0, "p99": None, "calls": 100}
    assert clock.quantiles(times * 3)["p99"] == 99.0
    assert clock.quantiles([3.0]) == {"p10": 3.0, "p50": 3.0, "p90": 3.0, "p99": None, "calls": 1}


def test_turns_are_taken_in_turned_order():
    order = []
    timers = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    times = clock.interleaved(timers, seconds=0, min_calls=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert times == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_time_ends_the_turns():
    assert len(clock.interleaved({"a": lambda: 1.0}, seconds=10, max_calls=7)["a"]) == 7


class PretendedEvent:
    """Its clock is the number of things that were put on the queue."""

    queue: list[str] = []

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.moment = len(self.queue)

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return float(end.moment - self.moment)


@pytest.fixture
def queue(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU")
    PretendedEvent.queue = []
    monkeypatch.setattr(torch.cuda, "Event", PretendedEvent)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: PretendedEvent.queue.append("sleep"))
    return PretendedEvent.queue


def test_warm_times_the_second_of_two_calls_behind_a_head_start(queue):
    timer = clock.warm_timer(lambda: queue.extend(["kernel"] * 6), repeats=3)
    assert timer() == 2.0
    assert queue == ["kernel"] * 6 + ["sleep"] + ["kernel"] * 6


def test_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    device = torch.device("cuda")
    a = torch.randn(2048, 2048, device=device)
    counts = clock.count_launches(lambda: (a + 1, a.sum().item()))
    assert counts["syncs"] == 1 and 2 <= counts["launches"] <= 6 and counts["kernels_ms"] > 0
    replay = clock.captured(lambda: a @ a, 3)
    assert clock.count_launches(replay)["launches"] == 1
    warm, cold = clock.warm_timer(replay, 3)(), clock.cold_timer(lambda: a + 1, device)()
    assert 0 < warm < 100 and 0 < cold < 100
