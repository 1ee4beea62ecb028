"""Latency against batch and throughput, measured and drawn."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .clock import host_timer, interleaved, quantiles


def measure_batches(
    call: Callable[[int], Any], batches: Sequence[int], device: torch.device, seconds: float = 1.0
) -> dict[int, dict[str, float | int | None]]:
    """call(batch) -> for each batch the quantiles of its milliseconds, after two calls to warm up."""
    timers = {}
    for batch in batches:
        for _ in range(2):
            call(batch)
        timers[str(batch)] = host_timer(lambda batch=batch: call(batch), device)
    times = interleaved(timers, seconds * len(batches), min_calls=3)
    return {int(batch): quantiles(values) for batch, values in times.items()}


def plot_batches(curve: dict[int, dict[str, float | int | None]], path: str | os.PathLike, title: str) -> None:
    """Draw p50 with p10 to p90, and motions a second, over the batch, as PNG.

    Raises ModuleNotFoundError where matplotlib is missing, LampError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    from ..files import new_file

    batches = list(curve)
    middle, low, high = ([curve[batch][key] for batch in batches] for key in ("p50", "p10", "p90"))
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    latency, throughput = figure.subplots(1, 2)
    latency.fill_between(batches, low, high, alpha=0.2)
    _draw(latency, batches, middle, "latency, p50 with p10 to p90", "milliseconds a call")
    rates = [1e3 * batch / ms for batch, ms in zip(batches, middle)]
    _draw(throughput, batches, rates, "throughput", "motions a second")
    with new_file(Path(path)) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _draw(axes: Any, batches: list[int], values: list[float], title: str, unit: str) -> None:
    axes.plot(batches, values, "o-")
    for batch, value in zip(batches, values):
        label = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.annotate(label, (batch, value), xytext=(0, 7), textcoords="offset points", ha="center")
    axes.set(title=title, xlabel="batch", ylabel=unit, xscale="log")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.12)
    axes.set_ylim(0, 1.15 * axes.dataLim.y1)
    axes.grid(alpha=0.3)
