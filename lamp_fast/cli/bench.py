"""`lamp-fast bench`: how long prompts that are known take to become motion, by batch, as a table and as curves."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import LampError

PROMPT = "a person walks forward and waves with the right hand"


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("bench", help="latency and throughput by batch", description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 32], help="motions made in one call")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves (needs the extra: lamp-fast[bench])")
    parser.add_argument("--seconds", type=float, help="length of each motion; default: the longest")
    parser.add_argument("--num-inference-steps", type=int, default=10)
    parser.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..files import check_writable

    batches = sorted(set(args.batch))
    if batches[0] < 1:
        raise LampError(f"--batch is {batches[0]}, expected at least 1")
    if args.plot:
        check_writable(args.plot)
        import matplotlib  # noqa: F401  # before long work: is it there?

    from .. import LampPipeline
    from ..profiling.curves import measure_batches, plot_batches

    pipe = LampPipeline.from_pretrained(args.model, device=args.device)
    lamp = pipe.lamp
    seconds = lamp.max_seconds if args.seconds is None else args.seconds
    curve = measure_batches(
        lambda batch: pipe([PROMPT] * batch, seconds, num_inference_steps=args.num_inference_steps),
        batches,
        lamp.device,
    )
    title = f"{args.model} on {_device_name(lamp.device)}: {seconds:g} s of motion, {args.num_inference_steps} steps"
    print(f"{title}, from known prompts to joints")
    print(f"{'batch':>6} {'p50 ms':>10} {'p10':>10} {'p90':>10} {'motions/s':>10} {'x real time':>12}")
    for batch, times in curve.items():
        rate = 1e3 * batch / times["p50"]
        print(
            f"{batch:6} {times['p50']:10.2f} {times['p10']:10.2f} {times['p90']:10.2f} {rate:10.1f}"
            f" {rate * seconds:12.1f}"
        )
    if args.plot:
        plot_batches(curve, args.plot, title)
        print(f"drawn in {args.plot}")
    return 0


def _device_name(device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
