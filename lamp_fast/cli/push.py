"""`lamp-fast push MODEL OWNER/NAME` uploads a model to the Hugging Face Hub, its card and licence with it."""

from __future__ import annotations

import argparse


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("push", help="upload a model to the Hugging Face Hub", description=__doc__)
    parser.add_argument("model", help="a folder that lamp-fast wrote, or the name of a bundled model: lamp-mini")
    parser.add_argument("repository", help="owner/name; it is made if there is none")
    parser.add_argument("--private", action="store_true", help="make it one that others do not see")
    parser.add_argument("--message", default="Upload by lamp-fast", help="of the commit")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.folder import find_lamp
    from ..checkpoints.hub import push_to_hub

    print(push_to_hub(find_lamp(args.model), args.repository, args.private, args.message))
    return 0
