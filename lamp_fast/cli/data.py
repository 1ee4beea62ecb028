"""`lamp-fast data TASK`: motion capture files made ready for training, and skeletons described."""

from __future__ import annotations

import argparse
from pathlib import Path

from lamp_fast import LampError


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("data", help="prepare motion capture data", description=__doc__)
    tasks = parser.add_subparsers(title="tasks", required=True, metavar="TASK")

    mapping = "propose which points of a skeleton make the 22 joints"
    task = tasks.add_parser("map", help=mapping, description=mapping)
    task.add_argument("file", help="a .bvh or .amc file")
    task.add_argument("--output", help="the mapping file to write; FILE.map.json where one is needed")
    task.add_argument("--preview", help="a .png or .gif that shows what the mapping makes of the file")
    task.set_defaults(run=run_map)


def run_map(args: argparse.Namespace) -> int:
    from ..export import save
    from ..readers import read_motion
    from ..readers.proposal import open_capture, propose, write_map

    if args.preview and Path(args.preview).suffix.lower() not in (".png", ".gif"):
        raise LampError(f"cannot show a motion as {args.preview!r}; give a file that ends in .png or .gif")
    proposal = propose(open_capture(args.file))
    for joint, source in proposal.joints.items():
        place = "{} -> {}, {:g} of the way".format(*source) if isinstance(source, tuple) else source or "?"
        print(f"{joint:12} {proposal.by[joint]:8} {place}")
    output = args.output
    if proposal.known is None or output:
        output = output or f"{args.file}.map.json"
        write_map(output, proposal)
    if proposal.missing:
        print(f"{output}: fill in {', '.join(proposal.missing)}, then give it as --map")
        return 0
    motion = read_motion(args.file, body=output)
    if proposal.known:
        print(f"the skeleton is recognised ({proposal.known}): no mapping is needed")
    if output:
        print(f"{output}: give it as --map")
    height = motion.joints[..., 1].max() - motion.joints[..., 1].min()
    print(f"{args.file}: {motion.seconds:.1f} s, {height:.2f} m from the lowest to the highest joint")
    if args.preview:
        save(motion, args.preview)
        print(f"{args.preview}: look whether it moves like a person, left is left, and its feet are on the ground")
    return 0
