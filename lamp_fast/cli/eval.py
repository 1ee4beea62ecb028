"""`lamp-fast eval TASK` measures a model on a split of a data set."""

from __future__ import annotations

import argparse
import json

TASKS = {
    "tokenizer": "reconstruction errors in millimetres, over whole clips",
    "retrieval": "text-to-motion recall by distinct text",
}


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("eval", help="measure a model on data", description=__doc__)
    tasks = parser.add_subparsers(title="tasks", required=True, metavar="TASK", dest="task")
    for name, purpose in TASKS.items():
        task = tasks.add_parser(name, help=purpose, description=purpose)
        task.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
        task.add_argument("--data", required=True, help="a data set: captured joints, or HumanML3D / KIT-ML on disk")
        task.add_argument("--split", default="test")
        task.add_argument("--json", action="store_true", help="print JSON")
        task.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.folder import load_lamp
    from ..data import open_dataset
    from ..data.encoded import encode_clips
    from ..metrics.reconstruction import protocols, reconstruction_errors
    from ..metrics.retrieval import text_to_motion_recall

    lamp = load_lamp(args.model)
    dataset = open_dataset(args.data, args.split)
    mean, std = lamp.mean.numpy(), lamp.std.numpy()
    if args.task == "tokenizer":
        values = {}
        for protocol, clips in protocols(dataset).items():
            values[f"{protocol}_clips"] = len(clips)
            errors = reconstruction_errors(lamp.tokenizer, clips, mean, std)
            values |= {f"{protocol}_{name}": value for name, value in vars(errors).items()}
    else:
        clips = encode_clips(lamp.tokenizer, dataset, mean, std)
        values = vars(text_to_motion_recall(lamp.language_motion, lamp.text_tokenizer, clips))
    if args.json:
        print(json.dumps({"model": args.model, "split": args.split, "task": args.task, **values}))
        return 0
    print(f"{args.task} of {args.model} on {len(dataset)} clips of {args.split}")
    for name, value in values.items():
        print(f"  {name:26} {value:.4g}" if isinstance(value, float) else f"  {name:26} {value}")
    return 0
