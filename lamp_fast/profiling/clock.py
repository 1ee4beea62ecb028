"""Times of a call: by the host's clock everywhere, by the GPU's own clock where the work runs on one."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

Call = Callable[[], Any]
Timer = Callable[[], float]

# Runtime calls that put work on the GPU's queue; a graph is one, however many kernels it holds.
LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
# So long the GPU sleeps before it is timed, while the host puts the call on the queue. A call of many launches takes
# the host longer; it waits for the host all the same, and its time says so.
HEAD_START_MS = 1.0
CYCLES_PER_MS = 1_900_000
P99_NEEDS = 200


def quantiles(times: list[float]) -> dict[str, float | int | None]:
    """p10, p50, p90, and p99 where there are calls enough for one, and how many there were."""
    ordered = sorted(times)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    p99 = at(0.99) if len(ordered) >= P99_NEEDS else None
    return {"p10": at(0.1), "p50": statistics.median(ordered), "p90": at(0.9), "p99": p99, "calls": len(ordered)}


def interleaved(
    timers: Mapping[str, Timer], seconds: float, min_calls: int = 5, max_calls: int = 400
) -> dict[str, list[float]]:
    """Milliseconds of each timer, called in turn and in turned order, so that a busy moment of the machine hits all."""
    times: dict[str, list[float]] = {name: [] for name in timers}
    order = list(timers)
    began = time.perf_counter()
    for count in range(max_calls):
        if count >= min_calls and time.perf_counter() - began > seconds:
            break
        for name in order:
            times[name].append(timers[name]())
        order.reverse()
    return times


def host_timer(call: Call, device: torch.device) -> Timer:
    """From the call to its finished result."""

    def run() -> float:
        finish(device)
        began = time.perf_counter()
        call()
        finish(device)
        return (time.perf_counter() - began) * 1e3

    return run


def warm_timer(call: Call, repeats: int = 1, head_start_ms: float = HEAD_START_MS) -> Timer:
    """GPU time between two events; an untimed call before leaves in L2 what the call itself leaves there.

    repeats: how often the work is done in one call, which the time is divided by.
    """

    def run() -> float:
        call()
        torch.cuda._sleep(int(head_start_ms * CYCLES_PER_MS))
        return _event_ms(call) / repeats

    return run


def cold_timer(call: Call, device: torch.device, head_start_ms: float = HEAD_START_MS) -> Timer:
    """GPU time between two events, with none of the call's data in L2."""
    size = max(256 * 2**20, 4 * torch.cuda.get_device_properties(device).L2_cache_size)
    other = torch.empty(size, dtype=torch.uint8, device=device)

    def run() -> float:
        torch.cuda._sleep(int(head_start_ms * CYCLES_PER_MS))
        other.zero_()
        return _event_ms(call)

    return run


def _event_ms(call: Call) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def captured(call: Call, repeats: int) -> Call:
    """`repeats` calls as one CUDA graph. Raises RuntimeError where the call cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            call()
    return graph.replay


def count_launches(call: Call) -> dict[str, int | float]:
    """Launches and host synchronisations of one call on the GPU, and the time its kernels ran in all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    syncs = sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)

    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    launches = sum(event.count for event in profile.key_averages() if event.key.startswith(LAUNCHES))
    on_gpu = [event for event in profile.key_averages() if event.device_type == torch.autograd.DeviceType.CUDA]
    kernels_us = sum(event.self_device_time_total for event in on_gpu if not event.is_user_annotation)
    return {"launches": launches, "syncs": syncs, "kernels_ms": kernels_us / 1e3}


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
