"""`lamp-fast index FOLDER` makes the motions of a folder searchable; the same line again takes in what changed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DEFAULT_INDEX = Path("lamp-index")


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("index", help="make a folder of motions searchable", description=__doc__)
    parser.add_argument("folder", type=Path, help=".bvh, .glb, .amc, .npz, .npy files at any depth, or a data set")
    parser.add_argument("--output", type=Path, default=DEFAULT_INDEX, metavar="INDEX", help="default: %(default)s")
    parser.add_argument("--split", help="of a data set; default: all of them")
    parser.add_argument(
        "--method",
        choices=("exact", "ivf", "hnsw"),
        default="exact",
        help="ivf and hnsw look at a part of very large indexes only, and need faiss (default: exact)",
    )
    parser.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .. import MotionRetriever

    retriever = MotionRetriever.from_pretrained(args.model, device=args.device)
    with tqdm(unit=" files", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        options = {"split": args.split, "method": args.method, "progress": progress}
        update = retriever.update(args.folder, args.output, **options)
    for sentence in update.refused:
        print(f"lamp-fast: left out: {sentence}", file=sys.stderr)
    print(
        f"{args.output}: {update.clips} clips ({update.encoded} encoded, {update.unchanged} unchanged, "
        f"{update.removed} removed, {len(update.refused)} left out)"
    )
    return 0
