"""What a GPU does with a static call, played by stand-ins: a graph that replays, streams that note who waits."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from lamp_fast.engine import static, streams
from lamp_fast.engine.static import StaticCall
from lamp_fast.engine.streams import InTurn


class Graph:
    """Replays what was called in its capture, into the same results."""

    capturing = None

    def __init__(self):
        self.calls, self.results = [], []

    def replay(self):
        for (function, inputs), results in zip(self.calls, self.results, strict=True):
            for name, value in function(**inputs).items():
                results[name].copy_(value)


@pytest.fixture
def gpu(monkeypatch):
    @contextmanager
    def graph(graph, capture_error_mode):
        Graph.capturing = graph
        yield
        Graph.capturing = None

    stream = type("Stream", (), {"wait_stream": lambda self, other: None})
    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)


def double(calls):
    def function(x, y):
        calls.append(None)
        results = {"sum": x + y, "double": 2 * x}
        if Graph.capturing:
            Graph.capturing.calls.append((function, {"x": x, "y": y}))
            Graph.capturing.results.append(results)
        return results

    return function


def test_a_replay_reads_the_buffers_and_hands_out_copies(gpu):
    calls = []
    call = StaticCall(double(calls), {"x": torch.zeros(4), "y": torch.zeros(4)}, capture=True)
    assert len(calls) == static.WARM_UP_CALLS + 1
    first = call(x=torch.tensor([1.0, 2.0]), y=torch.ones(4))
    second = call(x=torch.full((4,), 5.0), y=torch.zeros(4))
    assert first["sum"][:2].tolist() == [2, 3] and first["double"][:2].tolist() == [2, 4]
    assert second["sum"].tolist() == [5] * 4


def test_the_next_to_use_a_buffer_waits_for_the_last(monkeypatch):
    """Streams of two threads: the second enqueues a wait for all that the first had enqueued when it left."""
    log, current = [], ["a"]

    class Event:
        def record(self, stream):
            log.append(f"{stream.name} is here")

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_event(self, event):
            log.append(f"{self.name} waits")

    monkeypatch.setattr(streams.torch.cuda, "Event", Event)
    monkeypatch.setattr(streams.torch.cuda, "current_stream", lambda _: Stream(current[0]))
    turn = InTurn(torch.device("cuda"))
    for name in "ab":
        current[0] = name
        with turn:
            log.append(f"{name} works")
    assert log == ["a waits", "a works", "a is here", "b waits", "b works", "b is here"]


def test_a_failure_does_not_keep_the_turn():
    turn = InTurn(torch.device("cpu"))
    with pytest.raises(ZeroDivisionError), turn:
        raise ZeroDivisionError
    with turn:
        pass
