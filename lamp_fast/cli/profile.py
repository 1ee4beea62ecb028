"""`lamp-fast profile`: one generation, as a trace for chrome://tracing or ui.perfetto.dev, and as tables of what bounds
each stage and operator."""

from __future__ import annotations

import argparse
import statistics
from itertools import cycle
from pathlib import Path

from .. import LampError

SHOWN = 15
CALLS = 5


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("profile", help="where the time of a generation goes", description=__doc__)
    parser.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
    parser.add_argument("--output", type=Path, default=Path("trace.json"), help="the trace; default: trace.json")
    parser.add_argument("--prompt", default="a person walks forward and waves with the right hand")
    parser.add_argument("--batch", type=int, default=1, help="motions made in one call")
    parser.add_argument("--num-inference-steps", type=int, default=10)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import LampPipeline
    from ..engine import LampEngine
    from ..files import check_writable, new_file
    from ..profiling.peaks import DTYPES, device_peaks
    from ..profiling.trace import write_trace
    from ..profiling.work import decoder_work, decoding_work, text_work

    if args.batch < 1:
        raise LampError(f"--batch is {args.batch}, expected at least 1")
    check_writable(args.output)
    pipe = LampPipeline.from_pretrained(args.model, device=args.device)
    lamp, config, batch = pipe.lamp, pipe.lamp.config, args.batch
    tokens, steps = config.generator.max_tokens, args.num_inference_steps

    # The same words each time, yet never the text that the engine keeps: reading it is a stage, too.
    pipe.engine = LampEngine(lamp, cached_prompts=1)
    spellings = cycle((args.prompt, args.prompt.swapcase()))

    def generate():
        return pipe([next(spellings)] * batch, lamp.max_seconds, num_inference_steps=steps)[0]

    generate()
    timings = [generate().timings for _ in range(CALLS)]
    with new_file(args.output) as partial:
        operators = write_trace(generate, lamp.device, partial)

    numbers, size = DTYPES[pipe.engine.dtype], pipe.engine.dtype.itemsize
    words = lamp.text_tokenizer([args.prompt], config.language_motion.max_text_tokens)[0].shape[1]
    stages = {
        "text": text_work(config.language_motion, batch, words, size),
        "tokens": decoding_work(config.generator, batch, tokens, steps, size),
        "features": decoder_work(config.tokenizer, batch, tokens, size),
        "joints": None,
    }
    peaks = device_peaks(lamp.device)
    print(f"{args.model}, batch {batch}, {tokens} tokens, {steps} steps, {numbers}")
    print(f"peak {peaks.flops[numbers] / 1e9:.0f} GFLOP/s {numbers}, {peaks.bytes / 1e9:.0f} GB/s ({peaks.source})")
    print(f"{'stage':44} {'calls':>6} {'GFLOP':>9} {'MB':>9} {'ms':>9} {'of floor':>9}")
    for name, work in stages.items():
        ms = 1e3 * statistics.median(timing[name] for timing in timings)
        counted = (0.0, 0.0) if work is None else (work.flops, work.bytes)
        print(_row(name, 1, *counted, ms, peaks.floor_ms(*counted, numbers)))
    print(f"{'operator (time while traced)':44}")
    for name, work in list(operators.items())[:SHOWN]:
        floor = peaks.floor_ms(work.flops, work.bytes, numbers)
        print(_row(name, work.calls, work.flops, work.bytes, work.ms, floor))
    if lamp.device.type == "cpu" and pipe.engine.native_reason is None:
        print("the native core shows its stages only; with LAMP_FAST_BACKEND=eager PyTorch shows every operator")
    print(f"written to {args.output}; open it in ui.perfetto.dev or chrome://tracing")
    return 0


def _row(name: str, calls: int, flops: float, bytes: float, ms: float, floor: float) -> str:
    share = f"{floor / ms:9.1%}" if floor > 0 and ms > 0 else f"{'':9}"
    work = f"{flops / 1e9:9.3f} {bytes / 1e6:9.2f}" if bytes else f"{'':9} {'':9}"
    return f"{name[:44]:44} {calls:6} {work} {ms:9.3f} {share}"
