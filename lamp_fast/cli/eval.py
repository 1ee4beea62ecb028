"""`lamp-fast eval TASK` measures a model on a split of a data set: the paper's columns, its rows beside ours."""

from __future__ import annotations

import argparse
import sys

TASKS = {
    "tokenizer": "what the tokenizer restores: R-precision, FID, MM-Dist, Diversity, errors in millimetres",
    "generation": "text to motion: R-precision, FID, MM-Dist, Diversity, MModality, and how possible the motions are",
    "retrieval": "recall by distinct text, by TMR's protocols and by the release's, both ways",
    "captioning": "motion to text: R-precision, BLEU, ROUGE-L, CIDEr",
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
        task.add_argument("--markdown", action="store_true", help="print Markdown")
        task.add_argument("--replications", type=int, default=20, help="how often, for the confidence intervals")
        task.add_argument("--clips", type=int, help="the first so many clips only")
        task.add_argument("--seed", type=int, default=0, help="of the first replication")
        task.add_argument("--device", default="auto", help="auto, cpu, cuda")
        task.set_defaults(run=run)
        if name != "retrieval":
            task.add_argument("--evaluator", help="a converted evaluator of Guo et al., or a model; default: the model")
        if name in ("generation", "captioning"):
            task.add_argument("--captioner", help="a folder of LaMP-M2T finds the words; default: the model itself")
            task.add_argument("--bert-score", action="store_true", help="pip install 'lamp-fast[captions]'")
            task.add_argument("--bert-model", metavar="FOLDER", help="an encoder in the place of roberta-large")
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
    from ..backend import find_device
    from ..metrics import evaluate
    from ..metrics.generation import GenerationOptions

    request = evaluate.Request(
        model=args.model,
        data=args.data,
        split=args.split,
        evaluator=getattr(args, "evaluator", None),
        captioner=getattr(args, "captioner", None),
        bert_model=getattr(args, "bert_model", None),
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
            bert_model=args.bert_model,
        )
        report = evaluate.evaluate_generation(request, options, _progress)
    elif args.task == "captioning":
        report = evaluate.evaluate_captioning(request, args.replications, args.seed, args.bert_score)
    elif args.task == "retrieval":
        report = evaluate.evaluate_retrieval(request, args.replications, args.seed)
    else:
        report = evaluate.evaluate_tokenizer(request, args.replications, args.seed)
    print(report.json() if args.json else report.markdown() if args.markdown else report.terminal())
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr)
