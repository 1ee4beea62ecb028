"""One benchmark case: several ways to the same result, checked, then timed in turn."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Case:
    """Ways to the same result; the first is what the others are held against, in speed and, without `truth`, in result.

    compare(expected, got) raises AssertionError where they differ, and may return figures for the record: no speed is
    told of a way whose result is wrong.
    flops, bytes: the work at least, for the floor that the device sets; numbers: the kind the flops are done in.
    captures: the ways are short and can be captured, so that the GPU's time is taken without the launches.
    """

    name: str
    ways: dict[str, Callable[[], Any]]
    compare: Callable[[Any, Any], dict[str, float] | None]
    truth: Callable[[], Any] | None = None
    device: torch.device = CPU
    flops: float = 0.0
    bytes: float = 0.0
    numbers: str = "fp32"
    captures: bool = False


@dataclass(frozen=True)
class Unmeasured:
    """A case without figures, and why: skipped, where it has no place here, or failed."""

    name: str
    why: str
    status: str = "skipped"


def measure(case: Case | Unmeasured, seconds: float | None = 1.0) -> dict[str, Any]:
    """-> the record of a case: status ok, failed or skipped, and for each way its figures or why it has none.

    Times are in milliseconds, about `seconds` for each kind of time and all ways together; None compares results only.
    """
    if isinstance(case, Unmeasured):
        return {"name": case.name, "status": case.status, "why": case.why}
    ways, right = {}, {}
    first = next(iter(case.ways))
    try:
        expected = (case.truth or case.ways[first])()
    except Exception as error:
        return {"name": case.name, "status": "failed", "why": f"what is right is not known: {sentence(error)}"}
    for name, call in case.ways.items():
        try:
            began = time.perf_counter()
            result = call()
            finish(case.device)
            ways[name] = {"first_ms": (time.perf_counter() - began) * 1e3}
            ways[name] |= case.compare(expected, result) or {}
            right[name] = call
        except Exception as error:  # whatever one way does wrong, the others are still measured
            ways[name] = {"failed": sentence(error)}
        result = None
    del expected
    record = {"name": case.name, "status": "ok" if len(right) == len(ways) else "failed"}
    if seconds is None:
        return record | {"ways": ways}
    for name, figures in _times(right, case, seconds).items():
        ways[name] |= figures
    if case.flops or case.bytes:
        peaks = device_peaks(case.device)
        record |= {"flops": case.flops, "bytes": case.bytes, "numbers": case.numbers, "peaks": peaks.source}
        record["floor_ms"] = peaks.floor_ms(case.flops, case.bytes, case.numbers)
    for figures in ways.values():
        if "ms" in figures:
            if "ms" in ways[first]:
                figures["speedup"] = ways[first]["ms"] / figures["ms"]
            if "floor_ms" in record:
                figures["share_of_floor"] = record["floor_ms"] / figures["ms"]
    return record | {"ways": ways}


def machine() -> dict[str, Any]:
    """What every record carries: hardware, versions, commit."""
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
        "commit": _first_line("git", "describe", "--always", "--dirty"),
    }


def _times(calls: dict[str, Callable[[], Any]], case: Case, seconds: float) -> dict[str, dict[str, Any]]:
    """Every way's times; `ms` is the one to compare: on a GPU its own time with warm L2, else the host's."""
    figures: dict[str, dict[str, Any]] = {name: {} for name in calls}

    def take(kind: str, timers: dict[str, Callable[[], float]]) -> None:
        for name, times in interleaved(timers, seconds).items():
            figures[name][kind] = quantiles(times)

    take("host_ms", {name: host_timer(call, case.device) for name, call in calls.items()})
    if case.device.type == "cuda":
        warm, cold = {}, {}
        for name, call in calls.items():
            figures[name] |= count_launches(call)
            repeats = 1
            if case.captures:
                repeats = min(MAX_REPEATS, 1 + int(REPEATS_MS / figures[name]["host_ms"]["p10"]))
                warm[name], cold[name] = warm_timer(captured(call, repeats), repeats), captured(call, 1)
            else:
                warm[name], cold[name] = warm_timer(call), call
            figures[name]["captured"] = case.captures
        take("warm_ms", warm)
        take("cold_ms", {name: cold_timer(call, case.device) for name, call in cold.items()})
    for values in figures.values():
        values["ms"] = values["warm_ms" if case.device.type == "cuda" else "host_ms"]["p50"]
    return figures


def sentence(error: Exception) -> str:
    """What a record says of an error: one line."""
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
