"""`lamp-fast train STAGE` trains one of the models in a model folder; a run that was cut goes on where it was."""

from __future__ import annotations

import argparse
import logging

# Steps, batch size and learning rate with which lamp-mini and the captioner of docs/captioning.md were trained.
STAGES = {
    "tokenizer": (5000, 64, 5e-4, "motion features <-> tokens"),
    "language-motion": (1000, 32, 3e-4, "the four language-motion tasks"),
    "generator": (2000, 64, 4e-4, "tokens from text"),
    "length": (600, 256, 1e-3, "length from text"),
    "captioner": (1200, 8, 1e-3, "text from motion, by a language model"),
    "evaluator": (1000, 32, 5e-4, "a judge of generated motions, for `lamp-fast eval`; needs no other stage"),
}
FOLDERS = {"captioner": "the folder of the captioner"}


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("train", help="train one of the models", description=__doc__)
    stages = parser.add_subparsers(title="stages, in this order", required=True, metavar="STAGE", dest="stage")
    for name, (steps, batch_size, learning_rate, purpose) in STAGES.items():
        stage = stages.add_parser(
            name, help=purpose, description=purpose, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        stage.add_argument("--data", required=True, help="a data set: captured joints, or HumanML3D / KIT-ML on disk")
        stage.add_argument("--folder", required=True, help=FOLDERS.get(name, "the model folder, for every stage"))
        if name == "captioner":
            stage.add_argument("--model", default="lamp-mini", help="the LaMP that reads: bundled, or a model folder")
            stage.add_argument("--language-model", required=True, help="its folder, as transformers writes it")
            stage.add_argument("--prompt", default="", help="words between motion and text; the release: 'a man is'")
        else:
            stage.add_argument("--preset", default="lamp-mini", help="sizes: lamp-mini or lamp-base")
        stage.add_argument("--steps", type=int, default=steps, help="optimizer steps of the whole run")
        stage.add_argument("--batch-size", type=int, default=batch_size, help="samples a step and process")
        stage.add_argument("--learning-rate", type=float, default=learning_rate, help="at the peak")
        stage.add_argument("--precision", choices=("fp32", "bf16"), default="bf16", help="of the forward pass")
        stage.add_argument("--seed", type=int, default=0, help="of everything random")
        stage.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
        stage.add_argument("--threads", type=int, default=None, help="CPU threads of torch")
        stage.add_argument("--no-mirror", action="store_true", help="do not add the mirrored clips")
        stage.set_defaults(run=run)
        if name != "tokenizer":
            stage.add_argument("--wordings", type=int, default=16, help="paraphrases of each text, which count as one")
        if name == "tokenizer":
            stage.add_argument("--windows", type=int, nargs="+", default=[64, 32, 128], help="window lengths in frames")
        if name in ("language-motion", "evaluator"):
            stage.add_argument("--from-scratch", action="store_true", help="do not start the text side from MiniLM")
        if name == "language-motion":
            stage.add_argument("--matching-pairs", type=int, default=8, help="pairs of a batch in the matching task")
            stage.add_argument("--released", action="store_true", help="the released objectives, bugs included")


def run(args: argparse.Namespace) -> int:
    import torch

    from ..config import CaptionerConfig
    from ..models.language_motion import PretrainingOptions
    from ..training.loop import TrainingOptions
    from ..training.stages import Workspace

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.threads:
        torch.set_num_threads(args.threads)
    options = TrainingOptions(
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        precision=args.precision,
        seed=args.seed,
        workers=args.workers,
    )
    if args.stage == "captioner":
        from ..training.captioner import train_captioner

        config = CaptionerConfig(language_model=args.language_model, prompt=args.prompt)
        train_captioner(
            args.folder, args.data, args.model, config, options, mirror=not args.no_mirror, wordings=args.wordings
        )
        return 0
    wordings = 0 if args.stage == "tokenizer" else args.wordings
    workspace = Workspace(args.folder, args.data, args.preset, mirror=not args.no_mirror, wordings=wordings)
    if args.stage == "tokenizer":
        workspace.train_tokenizer(options, tuple(args.windows))
    elif args.stage == "language-motion":
        fixed = PretrainingOptions(matching_pairs=args.matching_pairs)
        pretraining = PretrainingOptions.released() if args.released else fixed
        workspace.train_language_motion(options, pretraining, minilm=not args.from_scratch)
    elif args.stage == "generator":
        workspace.train_generator(options)
    elif args.stage == "evaluator":
        workspace.train_evaluator(options, minilm=not args.from_scratch)
    else:
        workspace.train_length(options)
    return 0
