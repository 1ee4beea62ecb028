"""`lamp-fast eval TASK` measures a model on a split of a data set."""

from __future__ import annotations

import argparse
import json
import sys

TASKS = {
    "tokenizer": "reconstruction errors in millimetres, over whole clips",
    "generation": "text to motion: R-precision, FID, MM-Dist, Diversity, MModality, and how possible the motions are",
    "retrieval": "text-to-motion recall by distinct text",
    "captioning": "motion to text: R-precision, BLEU, ROUGE-L, CIDEr",
}
SIMPLE = ("tokenizer", "retrieval")


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("eval", help="measure a model on data", description=__doc__)
    tasks = parser.add_subparsers(title="tasks", required=True, metavar="TASK", dest="task")
    for name, purpose in TASKS.items():
        task = tasks.add_parser(name, help=purpose, description=purpose)
        task.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
        task.add_argument("--data", required=True, help="a data set: captured joints, or HumanML3D / KIT-ML on disk")
        task.add_argument("--split", default="test")
        task.add_argument("--json", action="store_true", help="print JSON")
        task.set_defaults(run=run if name in SIMPLE else run_report)
        if name not in SIMPLE:
            task.add_argument("--markdown", action="store_true", help="print Markdown")
            task.add_argument("--replications", type=int, default=20, help="how often, for the confidence intervals")
            task.add_argument("--evaluator", help="a converted evaluator of Guo et al., or a model; default: the model")
            task.add_argument("--clips", type=int, help="the first so many clips only")
            task.add_argument("--seed", type=int, default=0, help="of the first replication")
            task.add_argument("--device", default="auto", help="auto, cpu, cuda")
            task.add_argument("--bert-score", action="store_true", help="pip install 'lamp-fast[captions]'")
        if name == "retrieval":
            task.add_argument("--protocols", action="store_true", help="TMR's and the release's, both ways, instead")
        if name == "generation":
            task.add_argument("--guidance-scale", type=float, help="default: the paper's, 4, for KIT-ML 2")
            task.add_argument("--num-inference-steps", type=int, default=10)
            task.add_argument(
                "--captions",
                choices=("first", "random"),
                default="first",
                help="of each clip: the first, as LaMP's release, or another each time, as other papers",
            )
            task.add_argument("--multimodality-texts", type=int, default=96, help="0 leaves MModality out")


def run(args: argparse.Namespace) -> int:
    if args.task == "retrieval" and args.protocols:
        return _run_protocols(args)
    from ..checkpoints.folder import load_lamp
    from ..data import open_dataset
    from ..data.encoded import encode_clips
    from ..metrics.reconstruction import protocols, reconstruction_errors
    from ..metrics.retrieval import text_to_motion_recall

    lamp = load_lamp(args.model)
    dataset = open_dataset(args.data, args.split)
    mean, std = lamp.mean.numpy(), lamp.std.numpy()
    if args.task == "retrieval":
        lamp.require("reads_motion")
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


def run_report(args: argparse.Namespace) -> int:
    from ..backend import find_device
    from ..metrics.evaluate import Request, evaluate_captioning, evaluate_generation
    from ..metrics.generation import GenerationOptions

    request = Request(
        model=args.model,
        data=args.data,
        split=args.split,
        evaluator=args.evaluator,
        clips=args.clips,
        device=find_device(args.device),
    )
    if args.task == "generation":
        options = GenerationOptions(
            replications=args.replications,
            seed=args.seed,
            num_inference_steps=args.num_inference_steps,
            guidance_scale=args.guidance_scale,
            captions=args.captions,
            multimodality_texts=args.multimodality_texts,
            bert_score=args.bert_score,
        )
        report = evaluate_generation(request, options, _progress)
    else:
        report = evaluate_captioning(request, args.replications, args.seed, args.bert_score)
    print(report.json() if args.json else report.markdown() if args.markdown else report.terminal())
    return 0


def _run_protocols(args: argparse.Namespace) -> int:
    from ..metrics.evaluate import Request, evaluate_retrieval

    report = evaluate_retrieval(Request(args.model, args.data, args.split))
    print(report.json() if args.json else report.terminal())
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr)
