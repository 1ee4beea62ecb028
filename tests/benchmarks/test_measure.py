"""What a record says: figures where the result is right, a reason where there are none."""

import json
import time

import pytest
import torch

from lamp_fast.profiling.peaks import Peaks


@pytest.fixture(scope="module")
def measure(benchmark_script):
    return benchmark_script("measure")


@pytest.fixture(scope="module")
def runner(benchmark_script):
    return benchmark_script("run")


def equal(expected, got):
    assert torch.equal(expected, got), "they differ"
    return {"error": 0.0}


def slow():
    time.sleep(0.004)
    return torch.ones(3)


def fast():
    time.sleep(0.001)
    return torch.ones(3)


def broken():
    raise RuntimeError("no\nkernel")


def test_figures_of_each_way(measure):
    case = measure.Case({"slow": slow, "fast": fast}, equal, flops=1e6, bytes=10.0)
    record = measure.measure(measure.Plan("sleep", lambda: case), seconds=0.05)
    assert record["status"] == "ok" and record["floor_ms"] > 0
    ways = record["ways"]
    assert ways["slow"]["speedup"] == 1 and 1.5 < ways["fast"]["speedup"] < 8
    for figures in ways.values():
        times = figures["host_ms"]
        assert times["p10"] <= times["p50"] <= times["p90"] and times["calls"] >= 5 and times["p99"] is None
        assert figures["ms"] == times["p50"] and figures["error"] == 0
        assert figures["share_of_floor"] == pytest.approx(record["floor_ms"] / figures["ms"])
    assert ways["fast"]["alone_host_ms"]["p99"] >= ways["fast"]["alone_host_ms"]["p50"]
    json.dumps(record)


def test_no_speed_for_a_wrong_result(measure, runner):
    case = measure.Case({"right": fast, "wrong": lambda: torch.zeros(3), "broken": broken}, equal)
    record = measure.measure(measure.Plan("sleep", lambda: case), seconds=0.01)
    assert record["status"] == "failed"
    assert "ms" in record["ways"]["right"]
    wrong = record["ways"]["wrong"]
    assert wrong.keys() == {"failed"} and wrong["failed"].startswith("AssertionError: they differ")
    assert record["ways"]["broken"] == {"failed": "RuntimeError: no kernel"}
    text = "\n".join(runner.lines(record))
    assert text.count("no speed, its result is wrong") == 2 and text.count(" ms (") == 1


def test_the_first_way_is_held_against_the_truth_as_well(measure):
    case = measure.Case({"wrong": lambda: torch.zeros(3), "right": fast}, equal, truth=slow)
    ways = measure.measure(measure.Plan("sleep", lambda: case), seconds=0.01)["ways"]
    assert "ms" not in ways["wrong"] and "ms" in ways["right"] and "speedup" not in ways["right"]


def test_results_alone(measure):
    case = measure.Case({"right": fast, "wrong": lambda: torch.zeros(3)}, equal)
    record = measure.measure(measure.Plan("sleep", lambda: case), seconds=None)
    assert "ms" not in record["ways"]["right"] and "failed" in record["ways"]["wrong"]


def test_a_case_that_cannot_be_built_or_is_not_for_this_machine(measure):
    def not_here():
        raise measure.NotHere("it wants a GPU")

    record = measure.measure(measure.Plan("a", not_here))
    assert record == {"name": "a", "status": "skipped", "why": "it wants a GPU"}
    assert measure.measure(measure.Plan("b", broken))["status"] == "failed"
    truthless = measure.Case({"right": fast}, equal, truth=broken)
    assert measure.measure(measure.Plan("c", lambda: truthless))["status"] == "failed"


def test_what_does_not_fit_is_named_in_the_record(runner, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAMP_FAST_RESULTS", str(tmp_path / "copy"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert runner.main(["tiny", "--minutes", "0", "--results", str(tmp_path)]) == 0
    [file] = tmp_path.glob("*.jsonl")
    [record] = map(json.loads, file.read_text().splitlines())
    assert record["status"] == "skipped" and len(record["cases"]) == 2
    assert record["machine"]["torch"] == torch.__version__ and "tiny" in capsys.readouterr().out
    assert (tmp_path / "copy" / file.name).read_text() == file.read_text()


def test_the_cases_with_a_target_come_first(runner):
    names = [plan.name for plan in runner.chosen([])]
    assert names[0] == "generate 8x384 batch 1 10 steps cached prompt"
    assert all(name.startswith("generate 8x") for name in names[:5])
    assert len(set(names)) == len(names)
    assert all("philox" in plan.name or "49x512" in plan.name for plan in runner.chosen(["philox", "49x512"]))


@pytest.mark.parametrize("captures, refuses", [(False, False), (True, False), (True, True)])
def test_figures_of_a_gpu(measure, runner, monkeypatch, captures, refuses):
    """The way of a case on a GPU, with the calls of the device replaced by those of the host."""
    cpu = torch.device("cpu")
    timer = measure.host_timer

    def capture(call, repeats):
        if refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        return lambda: [call() for _ in range(repeats)]

    monkeypatch.setattr(measure, "finish", lambda device: None)
    monkeypatch.setattr(measure, "host_timer", lambda call, device: timer(call, cpu))
    monkeypatch.setattr(measure, "warm_timer", lambda call, repeats=1, _=0: lambda: timer(call, cpu)() / repeats)
    monkeypatch.setattr(measure, "cold_timer", lambda call, device, _=0: timer(call, cpu))
    monkeypatch.setattr(measure, "captured", capture)
    monkeypatch.setattr(measure, "count_launches", lambda call: {"launches": 3, "syncs": 0, "kernels_ms": 0.5})
    monkeypatch.setattr(measure, "device_peaks", lambda device: Peaks({"bf16": 1e12}, 1e12, "a table"))
    device = torch.device("cuda")
    ways = {"slow": slow, "fast": fast}
    case = measure.Case(ways, equal, device=device, flops=1e8, numbers="bf16", captures=captures)
    record = measure.measure(measure.Plan("sleep", lambda: case), seconds=0.05)
    assert record["status"] == "ok", record
    figures = record["ways"]["fast"]
    assert figures["ms"] == figures["warm_ms"]["p50"] and figures["launches"] == 3
    assert 0.9 < figures["ms"] < 4 and figures["speedup"] > 1.5 and "cold_ms" in figures
    assert ("alone_warm_ms" in figures) is not captures
    text = "\n".join(runner.lines(record))
    assert "3 launches, 0 syncs" in text and "of the floor" in text
