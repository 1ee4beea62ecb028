"""One benchmark case, its timing, and the machine that the numbers belong to."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lamp_fast

ROOT = Path(__file__).resolve().parents[1]
MIN_SECONDS, MAX_CALLS = 1.0, 200


@dataclass(frozen=True)
class Case:
    """Two ways to the same result. `compare` raises AssertionError where they differ: no speed without correctness.

    floor_ms: what the hardware allows at best, where it is known (bytes moved / bandwidth, or operations / peak).
    """

    name: str
    reference: Callable[[], Any]
    candidate: Callable[[], Any]
    compare: Callable[[Any, Any], None]
    floor_ms: float | None = None


def measure(case: Case) -> dict[str, Any]:
    """Check, then time both in turn, so that a busy moment of the machine hits both."""
    began = time.perf_counter()
    result = _finished(case.candidate)
    first_ms = (time.perf_counter() - began) * 1e3
    case.compare(_finished(case.reference), result)

    reference, candidate = [], []
    began = time.perf_counter()
    while len(candidate) < 5 or (time.perf_counter() - began < MIN_SECONDS and len(candidate) < MAX_CALLS):
        reference.append(_milliseconds(case.reference))
        candidate.append(_milliseconds(case.candidate))
    p20, median, p80 = _quantiles(candidate)
    reference_median = statistics.median(reference)
    return {
        "name": case.name,
        "median_ms": median,
        "p20_ms": p20,
        "p80_ms": p80,
        "first_call_ms": first_ms,
        "reference_median_ms": reference_median,
        "speedup": reference_median / median,
        "share_of_floor": case.floor_ms / median if case.floor_ms is not None else None,
        "calls": len(candidate),
    }


def machine() -> dict[str, Any]:
    """What every record carries: hardware, versions, commit."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "gpu": gpu,
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lamp_fast": lamp_fast.__version__,
        "commit": git.stdout.strip() or None,
    }


def _finished(call: Callable[[], Any]) -> Any:
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def _milliseconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    _finished(call)
    return (time.perf_counter() - began) * 1e3


def _quantiles(times: list[float]) -> tuple[float, float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 5], statistics.median(ordered), ordered[len(ordered) * 4 // 5]


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
