"""`lamp-fast convert FILE...` makes a model folder of released checkpoints, recognised by what they hold."""

from __future__ import annotations

import argparse


def add_parser(subparsers) -> None:
    purpose = "a model folder of released checkpoints (motions: convert-motion)"
    parser = subparsers.add_parser("convert", help=purpose, description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoints: .tar, .pth, .safetensors, or our parts")
    parser.add_argument("--output", required=True, help="the folder to write")
    parser.add_argument("--vocabulary", help="vocab.txt of bert-base-uncased; default: beside the files")
    parser.add_argument("--statistics", help="folder of Mean.npy and Std.npy; default: beside the files, or in meta")
    parser.add_argument("--words", help="folder glove of the release, for an evaluator; default: beside the files")
    parser.add_argument(
        "--language-model", help="folder with OPT's tokenizer, for LaMP-M2T; default: opt2.7b beside it"
    )
    parser.add_argument("--language-model-heads", type=int, default=32, help="of the OPT in LaMP-M2T")
    parser.add_argument("--language-motion-heads", type=int, help="attention heads; default: width / 64, as released")
    parser.add_argument("--generator-heads", type=int, help="attention heads; default: width / 64, as released")
    parser.add_argument(
        "--padding",
        choices=("released", "exact"),
        default="released",
        help="exact: a result does not depend on the rest of its batch",
    )
    parser.add_argument("--names", action="store_true", help="list every tensor used, dropped, left over and missing")
    parser.add_argument("--attention-mode", choices=("soft_causal", "causal", "full"), default="soft_causal")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..checkpoints.released.convert import Options, convert_released
    from ..checkpoints.released.files import KINDS

    made = convert_released(
        args.files,
        args.output,
        vocabulary=args.vocabulary,
        statistics=args.statistics,
        words=args.words,
        language_model=args.language_model,
        options=Options(
            language_motion_heads=args.language_motion_heads,
            generator_heads=args.generator_heads,
            language_model_heads=args.language_model_heads,
            padding=args.padding,
            attention_mode=args.attention_mode,
        ),
    )
    for account in made.accounts:
        print(f"{account.file}: {KINDS.get(account.kind, account.kind)}")
        parts = [("used", account.used, "")]
        parts += [("dropped", names, f": {reason}") for reason, names in account.dropped.items()]
        parts += [("left over", account.left_over, ": not known here"), ("missing", account.missing, ": set to zero")]
        for part, names, reason in parts:
            if names:
                print(f"  {part:10} {_listed(names)}{reason}")
            for name in names if args.names else ():
                print(f"    {name}")
        for note in account.notes:
            print(f"  note       {note}")
    print(f"{args.output}: {', '.join(made.parts)}")
    if made.lacking:
        print(f"  as parts; a complete model needs {', '.join(made.lacking)}: convert again with all of it")
    return 0


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} tensors, {names[0]} …"
