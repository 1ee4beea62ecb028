"""`lamp-fast pack FOLDER DESTINATION` makes one model, ready to load, of the parts that training left in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import LampError


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("pack", help="make one model of trained parts", description=__doc__)
    parser.add_argument("folder", help="the folder that `lamp-fast train` filled")
    parser.add_argument("destination", help="the model folder to write")
    parser.add_argument("--storage", choices=("fp32", "fp16", "int8"), default="int8", help="of the weights on disk")
    parser.add_argument("--card", help="a file that becomes the model's README.md")
    parser.add_argument("--licence", help="a file that becomes the model's LICENSE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..training.stages import pack

    card, licence = (_read(file) if file else None for file in (args.card, args.licence))
    pack(args.folder, args.destination, args.storage, card, licence)
    size = sum(file.stat().st_size for file in Path(args.destination).rglob("*") if file.is_file())
    print(f"{args.destination}: {size / 1e6:.1f} MB")
    return 0


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise LampError(f"cannot read {file} ({error.strerror}); give a text file") from error
