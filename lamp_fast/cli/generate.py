"""`lamp-fast generate`: motion from words, written to files."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import LampError

if TYPE_CHECKING:
    from .. import MotionOutput

DEFAULT_FOLDER, DEFAULT_SUFFIXES = Path("outputs"), (".bvh", ".npz", ".gif")
HELD_TOGETHER = (".gif", ".png", ".html")  # several motions fit one picture or page; other files hold one


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("generate", help="motion from words", description=__doc__)
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help='such as "a person walks, then waves"')
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        help="how long each motion lasts, or with --sequence one number for each prompt; default: predicted",
    )
    parser.add_argument("--sequence", action="store_true", help="the prompts make one continuous motion")
    parser.add_argument(
        "--split-on-then",
        action=argparse.BooleanOptionalAction,
        default=True,
        help='read "…, then …" as a sequence of prompts that share the seconds (default: yes)',
    )
    parser.add_argument("--num-samples", type=int, default=1, help="motions for each prompt")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same motion")
    parser.add_argument("--num-inference-steps", type=int, default=10)
    parser.add_argument("--guidance-scale", type=float, default=4.0, help="how strongly the words steer")
    parser.add_argument("--foot-lock", action="store_true", help="hold feet where they stand, steps where they glide")
    parser.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument(
        "--output",
        type=Path,
        nargs="+",
        metavar="PATH",
        help=".bvh, .glb, .npz, .csv (way of the root), .gif, .png (contact sheet) or .html (3D player) files; "
        f"default: {DEFAULT_FOLDER}/<prompt>.bvh, .npz and .gif",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import LampPipeline
    from ..export import check_output, save
    from .convert_motion import locked

    prompt, seconds = _request(args.prompts, args.seconds, args.sequence)
    names = [" then ".join(args.prompts)] if args.sequence else args.prompts
    files = _files([name for name in names for _ in range(max(args.num_samples, 1))], args.output)
    for path, _ in files:
        check_output(path)

    began = time.perf_counter()
    pipe = LampPipeline.from_pretrained(args.model, device=args.device)
    timings = {"model": time.perf_counter() - began}
    result = pipe(
        prompt,
        seconds,
        num_samples=args.num_samples,
        seed=args.seed,
        num_inference_steps=args.num_inference_steps,
        guidance_scale=args.guidance_scale,
        split_on_then=args.split_on_then,
    )
    motions = result if isinstance(result, list) else [result]
    timings |= motions[0].timings
    clips = [locked(motion.clip) for motion in motions] if args.foot_lock else motions
    for path, indices in files:
        began = time.perf_counter()
        save([clips[i] for i in indices], path)
        timings[path.suffix] = timings.get(path.suffix, 0.0) + time.perf_counter() - began
    _report(motions, [path for path, _ in files], timings)
    return 0


def _request(
    prompts: list[str], seconds: list[float] | None, sequence: bool
) -> tuple[list[str] | list[tuple[str, float | None]], float | None]:
    """-> prompt and seconds as `LampPipeline` takes them."""
    if sequence:
        if seconds and len(seconds) != len(prompts):
            raise LampError(f"--sequence has {len(prompts)} prompts, {len(seconds)} --seconds; give as many, or none")
        return list(zip(prompts, seconds or [None] * len(prompts), strict=True)), None
    if seconds and len(seconds) > 1:
        raise LampError("several --seconds belong to a --sequence; give one number, or add --sequence")
    return prompts, seconds[0] if seconds else None


def _files(names: Sequence[str], outputs: Sequence[Path] | None) -> list[tuple[Path, list[int]]]:
    """Each file to be written, with the motions that go into it; numbered where a name would serve for two."""
    everything = list(range(len(names)))
    if outputs is None:
        slugs = [_slug(name) for name in names]
        if len(set(slugs)) < len(slugs):
            slugs = [f"{slug}-{i + 1}" for i, slug in enumerate(slugs)]
        return [(DEFAULT_FOLDER / (slug + suffix), [i]) for i, slug in enumerate(slugs) for suffix in DEFAULT_SUFFIXES]
    files: list[tuple[Path, list[int]]] = []
    for path in outputs:
        if len(names) == 1 or path.suffix.lower() in HELD_TOGETHER:
            files.append((path, everything))
        else:
            files += [(path.with_name(f"{path.stem}-{i + 1}{path.suffix}"), [i]) for i in everything]
    return files


def _slug(text: str, length: int = 60) -> str:
    """The words of a text as the name of a file."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()))
    return words[:length].strip("-") or "motion"


def _report(motions: Sequence[MotionOutput], files: Sequence[Path], timings: dict[str, float]) -> None:
    for motion in motions:
        print(f"{motion.prompt}: {motion.seconds:.1f} s, {len(motion.features)} frames")
    for path in files:
        print(f"  {path}")
    print("  " + " · ".join(f"{stage} {1000 * seconds:.0f} ms" for stage, seconds in timings.items()))
