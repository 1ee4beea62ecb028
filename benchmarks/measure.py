"""One benchmark case: several ways to the same result, checked, then timed in turn."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lamp_fast
from lamp_fast.profiling.clock import (
    P99_NEEDS,
    Call,
    Timer,
    captured,
    cold_timer,
    count_launches,
    finish,
    host_timer,
    interleaved,
    quantiles,
    warm_timer,
)
from lamp_fast.profiling.peaks import device_peaks

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
MAX_REPEATS, REPEATS_MS = 20, 1.0
REPLAY_MS = 0.1  # more than the host takes to replay a graph
TAIL_MS = 1000.0


@dataclass(frozen=True)
class Case:
    """Ways to the same result; the first is what the others are held against, in speed and, without `truth`, in result.

    compare(expected, got) raises AssertionError where they differ, and may return figures for the record: no speed is
    told of a way whose result is wrong.
    flops, bytes: the work at least, for the floor that the device sets; numbers: the kind the flops are done in.
    captures: the ways are short and can be captured, so that the GPU's time is taken without the launches.
    share: of the time that a case gets.
    """

    ways: dict[str, Call]
    compare: Callable[[Any, Any], dict[str, float] | None]
    truth: Call | None = None
    device: torch.device = CPU
    flops: float = 0.0
    bytes: float = 0.0
    numbers: str = "fp32"
    captures: bool = False
    share: float = 1.0


class NotHere(Exception):
    """A case has no place on this machine; the message says why."""


@dataclass(frozen=True)
class Plan:
    """A case to come: `build` makes it, or raises NotHere. Cases of a low rank come first."""

    name: str
    build: Callable[[], Case]
    rank: int = 5


def measure(plan: Plan, seconds: float | None = 1.0) -> dict[str, Any]:
    """-> the record of a case: status ok, failed or skipped, and for each way its figures or why it has none.

    Times are in milliseconds, about `seconds` for each kind of time and all ways together; None compares results only.
    """
    try:
        case = plan.build()
        expected = (case.truth or next(iter(case.ways.values())))()
    except NotHere as error:
        return {"name": plan.name, "status": "skipped", "why": str(error)}
    except Exception as error:  # a case that is wrong does not keep the others from being measured
        return {"name": plan.name, "status": "failed", "why": _sentence(error)}
    ways, right = {}, {}
    for name, call in case.ways.items():
        try:
            began = time.perf_counter()
            result = call()
            finish(case.device)
            ways[name] = {"first_ms": (time.perf_counter() - began) * 1e3}
            ways[name] |= case.compare(expected, result) or {}
            right[name] = call
        except Exception as error:
            ways[name] = {"failed": _sentence(error)}
        result = None
    del expected
    record = {"name": plan.name, "status": "ok" if len(right) == len(ways) else "failed"}
    if seconds is None:
        return record | {"ways": ways}
    if case.flops or case.bytes:
        peaks = device_peaks(case.device)
        record |= {"flops": case.flops, "bytes": case.bytes, "numbers": case.numbers, "peaks": peaks.source}
        record["floor_ms"] = peaks.floor_ms(case.flops, case.bytes, case.numbers)
    try:
        figures = _times(right, case, seconds * case.share)
    except Exception as error:
        return record | {"status": "failed", "why": _sentence(error), "ways": ways}
    baseline = figures.get(next(iter(ways)))
    for name, values in figures.items():
        if baseline is not None:
            values["speedup"] = baseline["ms"] / values["ms"]
        if "floor_ms" in record:
            values["share_of_floor"] = record["floor_ms"] / values["ms"]
        ways[name] |= values
    return record | {"ways": ways}


def machine() -> dict[str, Any]:
    """What every record carries: hardware, versions, commit (LAMP_FAST_COMMIT names it where git does not know)."""
    cuda = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if cuda else None,
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version_of_triton(),
        "lamp_fast": lamp_fast.__version__,
        "commit": os.environ.get("LAMP_FAST_COMMIT") or _first_line("git", "describe", "--always", "--dirty"),
    }


def _times(calls: dict[str, Call], case: Case, seconds: float) -> dict[str, dict[str, Any]]:
    """Every way's times; `ms` is the one to compare: on a GPU its own time with warm L2, else the host's.

    A way that is fast enough is then called alone and often, for its p99.
    """
    figures: dict[str, dict[str, Any]] = {name: {} for name in calls}
    timers = {"host_ms": {name: host_timer(call, case.device) for name, call in calls.items()}}
    compared = "host_ms"
    if case.device.type == "cuda":
        compared = "warm_ms"
        timers |= {"warm_ms": {}, "cold_ms": {}}
        for name, call in calls.items():
            figures[name] = count_launches(call)
            timers["warm_ms"][name], timers["cold_ms"][name] = _gpu_timers(call, case)
    for kind, each in timers.items():
        for name, times in interleaved(each, seconds).items():
            figures[name][kind] = quantiles(times)
    for name, values in figures.items():
        values["ms"] = values[compared]["p50"]
        if not case.captures and values["ms"] * P99_NEEDS <= TAIL_MS:
            for kind in {"host_ms", compared}:
                alone = {name: timers[kind][name]}
                values[f"alone_{kind}"] = quantiles(interleaved(alone, seconds, min_calls=P99_NEEDS)[name])
    return figures


def _gpu_timers(call: Call, case: Case) -> tuple[Timer, Timer]:
    """Warm and cold; a short call is captured, many times over, so that its launches cost nothing."""
    if case.captures:
        repeats = min(MAX_REPEATS, 1 + int(REPEATS_MS / host_timer(call, case.device)()))
        try:
            return (
                warm_timer(captured(call, repeats), repeats, REPLAY_MS),
                cold_timer(captured(call, 1), case.device, REPLAY_MS),
            )
        except RuntimeError as error:  # it asks the host for something
            print(f"  not captured: {_sentence(error)}")
    return warm_timer(call), cold_timer(call, case.device)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _first_line(*command: str) -> str | None:
    try:
        output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    except OSError:
        return None
    return next(iter(output.splitlines()), "").strip() or None


def _version_of_triton() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return triton.__version__


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
