"""`lamp-fast view`: motions in a 3D player in the browser, side by side; typed prompts become motions there too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .. import LampError

if TYPE_CHECKING:
    from ..motion.clip import Clip

DEFAULT_PORT = 8017


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("view", help="a 3D player in the browser", description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="motions (FILE#NAME of many)",
    )
    parser.add_argument("--map", type=Path, help="a mapping for a skeleton that is not recognised")
    parser.add_argument("--body-model", type=Path, help="for AMASS: the folder of the body model")
    parser.add_argument("--fps", type=float, help="frames a second, where a file does not tell")
    parser.add_argument("--export", type=Path, metavar="PAGE", help="write one .html page that plays offline, and end")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of this machine; 0 takes a free one")
    parser.add_argument("--browser", action=argparse.BooleanOptionalAction, default=True, help="open it (default: yes)")
    parser.add_argument("--model", default="lamp-mini", help="for typed prompts: a bundled model or a model folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..export.page import render_page, write_page
    from ..files import check_writable

    if args.export:
        if args.export.suffix.lower() not in (".html", ".htm"):
            raise LampError(f"--export writes a page, and {args.export} does not end in .html; name it so")
        if not args.files:
            raise LampError('--export needs motions: give FILEs, or run lamp-fast generate "PROMPT" --output page.html')
        check_writable(args.export)
    motions = [_read(path, args) for path in args.files]
    names = _names(args.files)
    if args.export:
        write_page(args.export, motions, names)
        print(f"  {args.export}")
        return 0
    return _serve(args, render_page(motions, names, live=True))


def _serve(args: argparse.Namespace, page: str) -> int:
    import webbrowser

    from ..viewer.server import ViewerServer

    @cache
    def pipeline():
        from .. import LampPipeline

        return LampPipeline.from_pretrained(args.model, device=args.device)

    def generate(prompt: str, seconds: float | None, seed: int):
        return pipeline()(prompt, seconds, seed=seed, split_on_then=True)

    with ViewerServer(page, generate, args.port) as server:
        if not args.files:
            pipeline()  # what is wrong with the model is said now, not after the first prompt
        print(f"{server.url}  (Ctrl-C ends)", flush=True)
        if args.browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _read(path: Path, args: argparse.Namespace) -> Clip:
    """The motion of a file, with the prompts and contacts that files of ours hold."""
    from ..readers.clip import told
    from ..readers.motion import read_motion, split_clip

    path, clip = split_clip(path)
    motion = read_motion(path, body=args.map, body_model=args.body_model, fps=args.fps, clip=clip)
    return replace(motion, **told(path, motion, clip))


def _names(files: Sequence[Path]) -> list[str]:
    """The files' names without suffix, with it where two would be the same, with their folder where that is needed."""
    for name in (lambda path: path.stem, lambda path: path.name, str):
        names = [name(path) for path in files]
        if len(set(names)) == len(names):
            break
    return names
