"""The thresholds that choose tiles and kernels on a GPU: every choice timed over sizes, and which value would be best.

python benchmarks/sweep.py [WORD ...]   only the thresholds whose name holds one of the words

A threshold's cost is how much longer its choices take than the best ones, in the mean over sizes. The records, with
every time, go where those of benchmarks/run.py go.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any
from unittest import mock

import torch
import triton
from measure import REPLAY_MS, machine
from rows import (
    ROWS_OF_A_SAMPLE,
    TOKENS,
    Draw,
    linear_residual_arguments,
    norm_linear_arguments,
    qkv_attention_arguments,
    taps,
)
from run import HERE, Records, folders

from lamp_fast.kernels import conv1d_triton, conv_residual_triton, linear_triton, qkv_attention_triton
from lamp_fast.kernels.linear_residual_triton import linear_residual_triton
from lamp_fast.kernels.norm_linear_triton import norm_linear_triton
from lamp_fast.profiling.clock import Call, captured, interleaved, warm_timer

REPEATS = 20  # of a call in one graph
SAMPLES = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # twice the motions: with their words and without


@dataclass(frozen=True)
class Size:
    """One product, the calls between which a threshold chooses, and what it chooses by: a number for each."""

    name: str
    calls: dict[str, Call]
    scores: tuple[int, ...]


@dataclass(frozen=True)
class Threshold:
    """Chosen is the first call whose score reaches the threshold, else the last one."""

    name: str
    now: int
    candidates: tuple[int, ...]
    sizes: Callable[[Draw], Iterator[Size]]


def thresholds() -> Iterator[Threshold]:
    programs = (16, 32, 48, 64, 96, 132, 192, 264, 396)
    yield Threshold("linear_triton.ENOUGH_PROGRAMS", linear_triton.ENOUGH_PROGRAMS, programs, linear)
    many = (0, 32, 64, 132, 264, 528, 1056, 2112, 10**9)
    yield Threshold("qkv_attention_triton.FUSED_PROGRAMS", qkv_attention_triton.FUSED_PROGRAMS, many, qkv)
    yield Threshold("conv1d_triton.BUSY", conv1d_triton.BUSY, programs, conv)
    for width in (128, 192, 256):
        least = 64 * conv1d_triton.BUSY
        if conv_residual_triton.is_fused(1, width, torch.bfloat16):
            least = 0
        name = f"conv_residual_triton.is_fused: rows at width {width}"
        yield Threshold(name, least, (0, 1024, 3072, 6144, 12288, 24576, 49152, 10**9), partial(conv_block, width))


def linear(new: Draw) -> Iterator[Size]:
    for width in (384, 512):
        for launch, draw, inputs, outputs in (
            (norm_linear_triton, norm_linear_arguments, width, 1024),
            (linear_residual_triton, linear_residual_arguments, 1024, width),
        ):
            for samples in SAMPLES:
                m = samples * ROWS_OF_A_SAMPLE
                calls, scores = {}, []
                for tile in linear_triton.TILES:
                    call = partial(launch, *draw(new, m, inputs, outputs, None))
                    calls[f"{tile[0]}x{tile[1]}"] = forced(linear_triton, "TILES", (tile,), call)
                    scores.append(triton.cdiv(outputs, tile[0]) * triton.cdiv(m, tile[1]))
                yield Size(f"{launch.__name__} {m} rows {inputs} to {outputs}", calls, tuple(scores))


def qkv(new: Draw) -> Iterator[Size]:
    """One kernel up to so many programs: the two kernels are the call in front, reached beyond."""
    for width, heads in ((384, 6), (512, 8)):
        for samples in SAMPLES:
            call = partial(
                qkv_attention_triton.qkv_attention_triton, *qkv_attention_arguments(new, samples, width, heads)
            )
            calls = {
                name: forced(qkv_attention_triton, "FUSED_PROGRAMS", limit, call)
                for name, limit in {"two": 0, "fused": 10**9}.items()
            }
            yield Size(f"qkv_attention {samples} samples of {width}", calls, (samples * heads - 1, samples * heads))


def conv(new: Draw) -> Iterator[Size]:
    tiles = conv1d_triton.HALF_TILES
    for outputs in (512, 263):
        fitting = [tile for tile in tiles if conv1d_triton.padded(outputs, tile.outputs) <= 1.25 * outputs]
        for motions, frames in ((1, TOKENS), (1, 4 * TOKENS), (4, 4 * TOKENS), (32, 4 * TOKENS), (256, 4 * TOKENS)):
            rows = motions * frames
            call = partial(
                conv1d_triton.conv1d_triton, new(motions, frames, 512), *taps(new, outputs, 512), relu_input=True
            )
            calls = {
                f"{tile.rows}x{tile.outputs}": forced(conv1d_triton, "HALF_TILES", (tile,), call) for tile in fitting
            }
            scores = tuple(conv1d_triton.programs(rows, outputs, tile) for tile in fitting)
            yield Size(f"conv1d {rows} rows to {outputs}", calls, scores)


def conv_block(width: int, new: Draw) -> Iterator[Size]:
    for motions in (1, 2, 4, 16, 32, 64, 128, 256):
        frames = 2 * TOKENS
        weights = (*taps(new, width, width), new(width, width, scale=width**-0.5), new(width))
        calls = {
            name: partial(conv_residual_triton.conv_residual_triton, new(motions, frames, width), *weights, fused=fused)
            for name, fused in {"fused": True, "two": False}.items()
        }
        yield Size(f"conv_residual {motions * frames} rows of {width}", calls, (motions * frames, 0))


def forced(module: Any, name: str, value: Any, call: Call) -> Call:
    """The call with a constant of its module at another value; a graph of it keeps what that chose."""

    def run() -> Any:
        with mock.patch.object(module, name, value):
            return call()

    return run


def timed(calls: dict[str, Call]) -> dict[str, float]:
    """Milliseconds of each, in turn, warm and without the launches."""
    timers = {name: warm_timer(captured(call, REPEATS), REPEATS, REPLAY_MS) for name, call in calls.items()}
    return {name: median(times) for name, times in interleaved(timers, seconds=0.02, min_calls=7).items()}


def swept(threshold: Threshold, new: Draw) -> dict[str, Any]:
    """-> its record, printed as it comes."""
    print(f"{threshold.name} = {threshold.now}", flush=True)
    sizes, excess = {}, {value: [] for value in (threshold.now, *threshold.candidates)}
    for size in threshold.sizes(new):
        times = timed(size.calls)
        sizes[size.name] = times
        best = min(times, key=times.get)
        told = ", ".join(f"{name} {1e3 * ms:.2f}" for name, ms in times.items())
        print(f"  {size.name}: {told} us; best {best}", flush=True)
        for value, costs in excess.items():
            reached = (call for call, score in zip(times, size.scores) if score >= value)
            costs.append(times[next(reached, list(times)[-1])] / times[best] - 1)
    cost = {value: fmean(costs) for value, costs in excess.items()}
    best = min(cost, key=cost.get)
    print(f"  {threshold.now} costs {cost[threshold.now]:.1%}; best of all {best}, {cost[best]:.1%}", flush=True)
    costs = {str(value): share for value, share in cost.items()}
    return {"name": f"sweep {threshold.name}", "status": "ok", "now": threshold.now, "best": best, "costs": costs} | {
        "ms": sizes
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder of the records")
    args = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("sweep: torch sees no GPU here")
        return 1
    records = Records(folders(args.results), machine())
    for threshold in thresholds():
        if not args.words or any(word in threshold.name for word in args.words):
            with torch.no_grad():
                records.add(swept(threshold, Draw(torch.device("cuda"), torch.bfloat16)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
