"""Text to motion, measured as the papers do: each test motion's text is generated again, some times over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..config import FRAMES_PER_TOKEN
from ..data import Caption, Clip, MotionDataset
from ..engine import LampEngine
from ..errors import LampError
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from ..motion.features import features_to_joints
from ..motion.skeleton import KIT, Skeleton
from ..pipelines.motion_to_text import MotionCaptioner
from .bert_score import bert_score
from .distributions import diversity, draw_pairs, frechet_distance, multimodality
from .embed import Embedder, LampEmbedder, known_texts
from .interval import Interval, confidence_interval
from .matching import GROUP, matching
from .physics import floor_penetration, foot_skating, jerk
from .published import GENERATION_COLUMNS, LAMP_PRECISION

PHYSICS_COLUMNS = ("foot skating", "penetration mm", "jerk m/s³")
BERT_COLUMN = "LaMP-BertScore"
BATCH = 128
PAPER_GUIDANCE = {"humanml3d": 4.0, "kit": 2.0}
HUMANML3D_CLIPS, PAPER_REPLICATIONS = 4400, 20


@dataclass(frozen=True)
class GenerationOptions:
    """What the papers do, by default.

    guidance_scale: None takes the paper's: 4, for KIT-ML 2.
    multimodality_texts: of the first so many texts, `generations` motions each, in `pairs` pairs; 0 leaves it out.
    captions: "first" of each clip, as LaMP's release, or one drawn at "random" in each replication, as the others'.
    bert_score: also caption what was generated and compare it with the texts: LaMP-BertScore; bert_model: see
        `metrics.bert_score`.
    """

    replications: int = 20
    seed: int = 0
    num_inference_steps: int = 10
    guidance_scale: float | None = None
    captions: Literal["first", "random"] = "first"
    multimodality_texts: int = 3 * GROUP
    generations: int = 30
    pairs: int = 10
    bert_score: bool = False
    bert_model: str | None = None

    def __post_init__(self) -> None:
        if self.replications < 1 or self.multimodality_texts < 0:
            raise LampError(
                f"replications is {self.replications} and multimodality_texts {self.multimodality_texts}; "
                "expected at least 1, and at least 0"
            )

    def decoding(self, dataset: str) -> DecodingOptions:
        """For "humanml3d" or "kit"."""
        scale = PAPER_GUIDANCE[dataset] if self.guidance_scale is None else self.guidance_scale
        return DecodingOptions(self.num_inference_steps, scale)


@dataclass(frozen=True)
class GenerationMeasures:
    """Intervals by column, of the generated motions and of the real ones; how many motions were made; the seconds that
    took, and those that embedding, captioning and measuring them took."""

    generated: dict[str, Interval]
    real: dict[str, Interval]
    motions: int
    seconds: float
    measuring_seconds: float

    @property
    def rate(self) -> float:
        """Motions a second, from words to joints."""
        return self.motions / self.seconds

    @property
    def measuring_rate(self) -> float:
        """Generated motions a second, from features to figures."""
        return self.motions / self.measuring_seconds


def clips_to_measure(dataset: MotionDataset, max_tokens: int) -> list[Clip]:
    """Clips of 40 frames (KIT-ML: 24) or more, cut to whole tokens and to the longest that the model makes.

    Raises LampError where none is left.
    """
    shortest = 24 if dataset.skeleton is KIT else 40
    clips = [
        replace(clip, features=clip.features[: min(len(clip.features) // FRAMES_PER_TOKEN, max_tokens) * 4])
        for clip in dataset.clips
        if len(clip.features) >= shortest
    ]
    if len(clips) < 2:
        raise LampError(f"{len(clips)} clips have {shortest} frames or more; measures need two or more")
    return clips


def measure_generation(
    lamp: Lamp,
    clips: Sequence[Clip],
    embedder: Embedder,
    options: GenerationOptions = GenerationOptions(),
    progress: Callable[[str], None] = lambda line: None,
    captioner: MotionCaptioner | None = None,
) -> GenerationMeasures:
    """Generate and measure `clips` (see `clips_to_measure`), `options.replications` times.

    LaMP's own precision is measured where the model reads motions and `embedder` is another one. captioner: gives the
    words of LaMP-BertScore; None: the model's own text head.
    Raises LampError for a model without a generator, or texts that the embedder cannot read.
    """
    engine = LampEngine(lamp)
    decoding, conditions = options.decoding(lamp.config.dataset), _Conditions(lamp)
    motions = [torch.from_numpy(clip.features) for clip in clips]
    lengths = [len(motion) // FRAMES_PER_TOKEN for motion in motions]
    itself = isinstance(embedder, LampEmbedder) and embedder.lamp is lamp
    own = LampEmbedder(lamp, "LaMP") if lamp.config.reads_motion and not itself else None
    if options.bert_score:
        captioner = captioner or MotionCaptioner(lamp)
    real = embedder.motions(motions)
    real_joints = (features_to_joints(motion[None], lamp.skeleton) for motion in motions)
    real_physics = np.mean([_physics(joints, lamp.skeleton)[0] for joints in real_joints], 0)
    values: dict[str, list[float]] = {}
    real_values: dict[str, list[float]] = {}
    made, seconds = 0, 0.0
    start = time.perf_counter()

    def generate(captions: Sequence[Caption], lengths: Sequence[int], seed: int) -> tuple[list[Tensor], np.ndarray]:
        nonlocal made, seconds
        begun = time.perf_counter()
        result = _generate(engine, conditions(captions), lengths, decoding, seed)
        made, seconds = made + len(captions), seconds + time.perf_counter() - begun
        return result

    for replication in range(options.replications):
        seed = options.seed + replication
        draw = np.random.default_rng(seed)
        captions = [_caption(clip, options.captions, draw) for clip in clips]
        text = embedder.texts(captions)
        features, physics = generate(captions, lengths, seed)
        generated = embedder.motions(features)
        order, pairs = draw.permutation(len(clips)), diversity_pairs(len(clips), draw)
        measured = matching_columns(text[order], generated[order]) | {
            "FID": frechet_distance(real, generated),
            "Diversity": diversity(generated, *pairs),
            **dict(zip(PHYSICS_COLUMNS, physics)),
        }
        if own:
            measured[LAMP_PRECISION] = matching(own.texts(captions)[order], own.motions(features)[order]).precision[0]
        if options.multimodality_texts:
            measured["MModality"] = _multimodality(embedder, generate, captions, lengths, options, draw, seed)
        if options.bert_score:
            made_captions = [caption.text for caption in captioner(features)]
            references = [[caption.text] for caption in captions]
            measured[BERT_COLUMN] = bert_score(made_captions, references, lamp.device, options.bert_model)
        for name, value in measured.items():
            values.setdefault(name, []).append(float(value))
        measured = matching_columns(text[order], real[order]) | {
            "Diversity": diversity(real, *pairs),
            **dict(zip(PHYSICS_COLUMNS, real_physics)),
        }
        for name, value in measured.items():
            real_values.setdefault(name, []).append(float(value))
        progress(f"replication {replication + 1} of {options.replications}: {made / seconds:.1f} motions/s")
    return GenerationMeasures(
        {name: confidence_interval(v) for name, v in values.items()},
        {name: confidence_interval(v) for name, v in real_values.items()},
        made,
        seconds,
        time.perf_counter() - start - seconds,
    )


def columns(measures: GenerationMeasures) -> list[str]:
    """The paper's columns in its order, then what else was measured."""
    known = (*GENERATION_COLUMNS, LAMP_PRECISION, BERT_COLUMN, *PHYSICS_COLUMNS)
    return [name for name in known if name in measures.generated]


def projected_seconds(measures: GenerationMeasures, options: GenerationOptions) -> float:
    """How long a test split of HumanML3D's size takes 20 times, made and measured at the rates seen."""
    motions = HUMANML3D_CLIPS + options.multimodality_texts * options.generations
    return PAPER_REPLICATIONS * motions * (1 / measures.rate + 1 / measures.measuring_rate)


class _Conditions:
    """The generator's condition (N, D) of captions, each text read once; long ones are cut as in training."""

    def __init__(self, lamp: Lamp):
        self.lamp = lamp
        self._known: dict[str, Tensor] = {}

    @torch.inference_mode()
    def __call__(self, captions: Sequence[Caption]) -> Tensor:
        lamp, config = self.lamp, self.lamp.config.language_motion
        new = iter(sorted({caption.text for caption in captions} - self._known.keys()))
        while texts := list(islice(new, 64)):
            ids, mask = lamp.text_tokenizer(
                known_texts(texts, lamp), config.max_text_tokens, pad_to_max=config.padding == "released", truncate=True
            )
            rows = lamp.language_motion.condition(ids.to(lamp.device), mask.to(lamp.device))
            self._known |= dict(zip(texts, rows, strict=True))
        return torch.stack([self._known[caption.text] for caption in captions])


def _generate(
    engine: LampEngine, condition: Tensor, lengths: Sequence[int], options: DecodingOptions, seed: int
) -> tuple[list[Tensor], np.ndarray]:
    """Features (T, F) of each motion, and the means of `PHYSICS_COLUMNS` (3,). Motions of one length share batches."""
    features: list[Tensor] = [torch.empty(0)] * len(lengths)
    physics = []
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), BATCH):
        rows = torch.from_numpy(order[start : start + BATCH])
        sizes = [lengths[row] for row in rows]
        motions = engine.generate(condition[rows], sizes, options, seed=seed, samples=rows)
        for row, size, made in zip(rows.tolist(), sizes, motions.features):
            features[row] = made[: size * FRAMES_PER_TOKEN]
        for size in set(sizes):
            same = motions.joints[[i for i, other in enumerate(sizes) if other == size], : size * FRAMES_PER_TOKEN]
            physics.append(_physics(same, engine.lamp.skeleton))
    return features, torch.cat(physics).mean(0).cpu().numpy()


def _caption(clip: Clip, which: str, draw: np.random.Generator) -> Caption:
    captions = clip.captions
    return captions[0 if which == "first" else int(draw.integers(len(captions)))]


def matching_columns(text: np.ndarray, motion: np.ndarray) -> dict[str, float]:
    """Embeddings (N, E) of pairs, in the order of their groups -> Top1-3, MM-Dist."""
    result = matching(text, motion)
    return {f"Top{k}": p for k, p in enumerate(result.precision, 1)} | {"MM-Dist": result.distance}


def diversity_pairs(clips: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """300 pairs; 100 where there are no more than 300 clips."""
    return draw_pairs(clips, 300 if clips > 300 else 100, draw)


def _multimodality(embedder, generate, captions, lengths, options: GenerationOptions, draw, seed: int) -> float:
    some = options.multimodality_texts
    captions, lengths = captions[:some], lengths[:some]
    repeated = [caption for caption in captions for _ in range(options.generations)]
    features, _ = generate(repeated, [length for length in lengths for _ in range(options.generations)], ~seed)
    embeddings = embedder.motions(features).reshape(len(captions), options.generations, -1)
    return multimodality(embeddings, *draw_pairs(options.generations, options.pairs, draw))


def _physics(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """(B, T, J, 3) -> (B, 3), by `PHYSICS_COLUMNS`."""
    return torch.stack([foot_skating(joints, skeleton), floor_penetration(joints), jerk(joints, skeleton.fps)], -1)
