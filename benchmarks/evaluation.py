"""How long `lamp-fast eval generation` would take on HumanML3D's test split, 20 times.

Measured on made-up clips of that kind, with a model of random weights and the evaluator of Guo et al. in its size:

    python benchmarks/evaluation.py [--model 8x512|8x384|lamp-mini|tiny] [--clips 4400] [--multimodality-texts 96]

The record goes to results/<machine>.jsonl and to the folder LAMP_FAST_RESULTS, as those of benchmarks/run.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import machine
from models import CONFIGS, random_lamp
from run import HERE, Records, folders

from lamp_fast.checkpoints.evaluator import Evaluator
from lamp_fast.config import EvaluatorConfig
from lamp_fast.data import Clip
from lamp_fast.metrics.embed import EvaluatorEmbedder
from lamp_fast.metrics.generation import (
    HUMANML3D_CLIPS,
    GenerationOptions,
    measure_generation,
    projected_seconds,
)
from lamp_fast.models.evaluator import MotionTextEvaluator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="8x512", choices=sorted(CONFIGS))
    parser.add_argument("--clips", type=int, default=HUMANML3D_CLIPS)
    parser.add_argument("--multimodality-texts", type=int, default=96)
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder of the records")
    args = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lamp = random_lamp(args.model, device)
    options = GenerationOptions(replications=1, multimodality_texts=min(args.multimodality_texts, args.clips))
    clips = made_up_clips(args.model, args.clips, len(lamp.mean))
    embedder = made_up_evaluator(device)
    measure_generation(lamp, clips[:256], embedder, GenerationOptions(replications=1, multimodality_texts=0))  # warm
    measures = measure_generation(lamp, clips, embedder, options)
    seconds = projected_seconds(measures, GenerationOptions())
    record = {
        "name": f"evaluation {args.model}",
        "status": "ok",
        "motions": measures.motions,
        "motions_per_second": measures.rate,
        "motions_measured_per_second": measures.measuring_rate,
        "minutes_for_humanml3d_20_times": seconds / 60,
    }
    print(f"{record['name']} on {device}: {measures.motions} motions")
    print(f"  {measures.rate:.1f} made a second, {measures.measuring_rate:.1f} measured a second")
    print(f"  20 times HumanML3D's test split, with MModality, would take {seconds / 60:.1f} minutes")
    Records(folders(args.results), machine()).add(record)


def made_up_clips(model: str, count: int, width: int) -> list[Clip]:
    """Lengths and words as various as HumanML3D's: 40 to 196 frames, 6 to 20 words."""
    draw, vocabulary = np.random.default_rng(0), CONFIGS[model].language_motion.vocab_size - 5
    clips = []
    for i in range(count):
        words = [f"w{j}" for j in draw.integers(vocabulary, size=draw.integers(6, 21))]
        features = draw.standard_normal((4 * int(draw.integers(10, 50)), width), np.float32)
        clips.append(Clip(str(i), features, (" ".join(words),), (tuple(f"{word}/NOUN" for word in words),)))
    return clips


def made_up_evaluator(device: torch.device) -> EvaluatorEmbedder:
    """In the released sizes; no word is known to it."""
    torch.manual_seed(0)
    config = EvaluatorConfig()
    width = config.feature_dim
    model = MotionTextEvaluator(config).eval().to(device)
    words = ["unk", "sos", "eos"]
    vectors = torch.randn(len(words), config.word_dim)
    return EvaluatorEmbedder(Evaluator(model, torch.zeros(width), torch.ones(width), words, vectors))


if __name__ == "__main__":
    main()
