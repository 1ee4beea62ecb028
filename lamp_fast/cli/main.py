"""The console script `lamp-fast`: one file for each sub-command, this one puts them together."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .. import LampError, __version__
from . import (
    bench,
    caption,
    convert,
    convert_motion,
    data,
    env,
    eval,
    export,
    generate,
    index,
    pack,
    profile,
    push,
    search,
    train,
    view,
)

# Each module offers add_parser(subparsers), which sets `run` as default, and run(args) -> exit code. What is slow to
# import, torch above all, is imported inside run().
COMMANDS = (
    generate,
    convert_motion,
    caption,
    index,
    search,
    view,
    data,
    train,
    pack,
    push,
    convert,
    eval,
    bench,
    profile,
    env,
    export,
)

# The extra that brings a package which only some commands need.
EXTRAS = {
    "accelerate": "train",
    "tensorboard": "train",
    "matplotlib": "bench",
    "nvtx": "profile",
    "faiss": "search",
    "peft": "llm",
    "transformers": "llm",
    "huggingface_hub": "hub",
    "onnx": "onnx",
    "onnxruntime": "onnx",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 success, 2 input that cannot be used (one line on stderr), 130 interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except LampError as error:
        print(f"lamp-fast: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(
            f"lamp-fast: {error.name} is missing; run: pip install 'lamp-fast[{EXTRAS[error.name]}]'", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("lamp-fast: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lamp-fast", description="Motion from words, and words from motion.")
    parser.add_argument("--version", action="version", version=f"lamp-fast {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser
