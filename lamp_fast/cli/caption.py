"""`lamp-fast caption FILE`: words from motion."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("caption", help="words from motion", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="motions (FILE#NAME of many)")
    parser.add_argument("--num-beams", type=int, default=5, help="texts kept in parallel; 1: the likeliest next word")
    parser.add_argument("--sample", action="store_true", help="draw the words instead")
    parser.add_argument("--temperature", type=float, default=1.0, help="of --sample: below 1 is more careful")
    parser.add_argument("--top-p", type=float, default=0.9, help="of --sample: share of the probability drawn from")
    parser.add_argument("--seed", type=int, default=0, help="of --sample: the same seed gives the same words")
    parser.add_argument("--model", default="lamp-mini", help="a bundled model or a model folder")
    parser.add_argument("--captioner", help="a folder of `lamp-fast train captioner`: a language model finds the words")
    parser.add_argument("--language-model", help="its folder, where it is not the one that was trained with")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--json", action="store_true", help="print JSON: text, score, and segments with their seconds")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from .. import MotionCaptioner
    from ..readers.motion import read_motion, split_clip

    motions = [read_motion(file, clip=clip) for file, clip in map(split_clip, args.files)]
    captioner = MotionCaptioner.from_pretrained(args.model, args.captioner, args.language_model, device=args.device)
    captions = captioner(
        motions,
        num_beams=args.num_beams,
        sample=args.sample,
        temperature=args.temperature,
        top_p=args.top_p,
        seed=args.seed,
    )
    for file, motion, caption in zip(args.files, motions, captions, strict=True):
        if args.json:
            segments = [{"text": part.prompt, "start": part.start / motion.fps} for part in caption.segments]
            record = {"file": str(file), "text": caption.text, "score": caption.score, "segments": segments}
            print(json.dumps(record))
        else:
            print(f"{file}: {caption.text}" if len(captions) > 1 else caption.text)
    return 0
