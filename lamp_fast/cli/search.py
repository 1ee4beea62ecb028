"""`lamp-fast search QUERY` finds motions in an index by words or by a motion file, or the words for a motion."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .. import LampError
from .index import DEFAULT_INDEX

if TYPE_CHECKING:
    from ..motion.clip import Clip
    from ..retrieval.retriever import Match, TextMatch


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("search", help="find motions by words or by a motion", description=__doc__)
    parser.add_argument("query", help='words such as "someone sneaks", or a motion file such as clip.bvh')
    parser.add_argument("--index", type=Path, default=DEFAULT_INDEX, help="what lamp-fast index made (%(default)s)")
    parser.add_argument("--find", choices=("motions", "texts"), default="motions", help="texts: the words for a motion")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="with --find texts: choose among these, one a line")
    parser.add_argument("--count", type=int, default=10, help="how many results")
    parser.add_argument(
        "--rerank", type=int, default=0, metavar="N", help="let the matching head judge the first N, too"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--page", type=Path, metavar="FILE", help="also write the motions found as an .html page")
    parser.add_argument("--model", default="lamp-mini", help="the model of the index")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import MotionRetriever
    from ..files import check_writable

    if args.page and args.find == "texts":
        raise LampError("a page shows motions; leave --page out when texts are to be found")
    if args.page:
        check_writable(args.page)
    if args.texts and args.find != "texts":
        raise LampError("--texts are what a motion is compared with; add --find texts")
    query = _query(args.query)
    if args.find == "texts" and isinstance(query, str):
        raise LampError(
            f"texts are found for a motion, and {args.query!r} is no motion file; give one, such as clip.bvh"
        )
    candidates = _lines(args.texts) if args.texts else None

    retriever = MotionRetriever.from_pretrained(args.model, device=args.device)
    index = retriever.open(args.index)
    if args.find == "texts":
        matches = index.texts(query, args.count, args.rerank, candidates)
    else:
        matches = index.search(query, args.count, args.rerank)
    if args.page:
        from ..retrieval.page import write_page

        write_page(args.page, index, args.query, matches)
    if args.json:
        print(json.dumps({"query": args.query, "matches": [asdict(match) for match in matches]}))
    else:
        _print_table(matches)
    return 0


def _query(query: str) -> str | Clip:
    """A text, or the motion that is named: a file, or "file#name" of one that holds several."""
    from ..readers import read_motion
    from ..readers.motion import OTHERS, SUFFIXES, split_clip

    path, clip = split_clip(query)
    return read_motion(path, clip=clip) if path.suffix.lower() in SUFFIXES | OTHERS else query


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LampError(f"cannot read {file} ({error}); give a text file in UTF-8, one text a line") from error
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not texts:
        raise LampError(f"{file} holds no texts; write one a line")
    return texts


def _print_table(matches: list[Match] | list[TextMatch]) -> None:
    judged = any(match.matching is not None for match in matches)
    print(f"{'':>3} {'score':>6} {'match' if judged else '':>6} {'from s':>7} {'for s':>6}  found")
    for i, match in enumerate(matches, 1):
        matching = "" if match.matching is None else f"{match.matching:.3f}"
        found = match.text if hasattr(match, "text") else "  ".join([match.clip, " · ".join(match.texts)[:80]]).rstrip()
        print(f"{i:3} {match.score:6.3f} {matching:>6} {match.start:7.1f} {match.seconds:6.1f}  {found}")
    if not matches:
        print("nothing was found: the index is empty")
