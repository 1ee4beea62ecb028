"""`lamp-fast data TASK`: motion capture files made ready for training, and skeletons described."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import LampError


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("data", help="prepare motion capture data", description=__doc__)
    tasks = parser.add_subparsers(title="tasks", required=True, metavar="TASK")

    mapping = "propose which points of a skeleton make the 22 joints"
    task = tasks.add_parser("map", help=mapping, description=mapping)
    task.add_argument("file", help="a .bvh or .amc file")
    task.add_argument("--output", help="the mapping file to write; FILE.map.json where one is needed")
    task.add_argument("--preview", help="a .png or .gif that shows what the mapping makes of the file")
    task.set_defaults(run=run_map)

    preparing = "make a data set of a folder of motion files; the same line takes up a run that was cut"
    task = tasks.add_parser("prepare", help=preparing, description=preparing)
    task.add_argument("source", help="a folder of .bvh, .amc, .npz and .npy files; with --index the folder of AMASS")
    task.add_argument("destination", help="the folder to write, for lamp-fast train --data")
    task.add_argument("--texts", help="a table: .jsonl with id and texts, or .csv with id and text")
    task.add_argument("--splits", help="a .json file with the ids of train, val and test")
    task.add_argument("--map", help="a mapping file of `lamp-fast data map`, for skeletons that are not recognised")
    task.add_argument("--fps", type=float, help="frames a second, where the files say it wrongly")
    task.add_argument("--body-model", help="for AMASS: the folder of the body model's .npz files")
    task.add_argument("--index", help="index.csv of HumanML3D: make HumanML3D from AMASS")
    task.add_argument("--workers", type=int, help="processes; one a core if left out")
    task.set_defaults(run=run_prepare)


def run_map(args: argparse.Namespace) -> int:
    from ..export import save
    from ..readers import read_motion
    from ..readers.motion import open_capture
    from ..readers.proposal import propose, write_map

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


def run_prepare(args: argparse.Namespace) -> int:
    from ..data.humanml3d import build_humanml3d
    from ..data.preparation import Reading, prepare

    if args.index:
        if args.body_model is None:
            raise LampError("HumanML3D is made from AMASS with a body model; name the folder of SMPL-H: --body-model")
        report = build_humanml3d(args.source, args.index, args.destination, args.body_model, args.workers)
    else:
        reading = Reading(args.map, args.body_model, args.fps)
        report = prepare(
            args.source, args.destination, reading, texts=args.texts, splits=args.splits, workers=args.workers
        )
    print(f"{args.destination}: {report.clips} clips, {report.seconds / 3600:.2f} h ({report.kept} were there already)")
    if report.words.get("name"):
        print(f"{report.words['name']} clips are described by their file names only; give a table: --texts")
    if report.skipped:
        print(f"{len(report.skipped)} files were skipped; the reasons are in {Path(args.destination) / 'report.json'}:")
    for source, reason in report.skipped[:5]:
        print(f"  {reason if source in reason else f'{source}: {reason}'}")
    return 0
