"""A model, a data set and an evaluator -> one report: what `lamp-fast eval generation|captioning` prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..checkpoints.evaluator import load_evaluator
from ..checkpoints.folder import CONFIG, load_lamp
from ..data import Clip, open_dataset
from ..errors import LampError
from ..models.lamp import Lamp
from ..pipelines.motion_to_text import MotionCaptioner
from . import protocols
from .bert_score import check_bert_score
from .captioning import measure_captioning
from .embed import Embedder, EvaluatorEmbedder, LampEmbedder
from .generation import GenerationOptions, clips_to_measure, columns, measure_generation, projected_seconds
from .published import CAPTIONING_COLUMNS, captioning_rows, generation_rows
from .report import Report, statistics_hash

OWN_EVALUATOR = (
    "the evaluator is our own ({name}), not that of Guo et al.: no figure can be compared with the published ones"
)
OWN_DATA = "the data set has no {split} split of the published one: no figure can be compared with the published ones"


@dataclass(frozen=True)
class Request:
    """What is measured, on what, by whom. evaluator: a folder, or a bundled model's name; None: the model itself.

    clips: the first so many only.
    """

    model: str
    data: str
    split: str = "test"
    evaluator: str | None = None
    clips: int | None = None
    device: torch.device | str = "cpu"


def evaluate_generation(
    request: Request,
    options: GenerationOptions,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Raises LampError for a model, data set or evaluator that cannot be used or do not fit each other."""
    if options.bert_score:
        check_bert_score()
    lamp, clips, about = _open(request)
    lamp.require("generator")
    embedder = _embedder(request, lamp)
    measures = measure_generation(lamp, clips, embedder, options, progress)
    decoding = options.decoding(lamp.config.dataset)
    about |= {
        "evaluator": embedder.name,
        "replications": options.replications,
        "seed": options.seed,
        "guidance_scale": decoding.guidance_scale,
        "num_inference_steps": decoding.num_inference_steps,
        "captions": options.captions,
        "motions_generated": measures.motions,
        "motions_per_second": round(measures.rate, 1),
        "hours_for_humanml3d_20_times": round(projected_seconds(measures, options) / 3600, 2),
    }
    return Report(
        f"Text to motion: {request.model}",
        columns(measures),
        {"Real": measures.real, request.model: measures.generated},
        generation_rows(lamp.config.dataset),
        about,
        _warnings(request, embedder),
    )


def evaluate_captioning(
    request: Request, replications: int = 20, seed: int = 0, with_bert_score: bool = False
) -> Report:
    """Raises LampError as `evaluate_generation`, and for an evaluator that reads tagged words only."""
    if with_bert_score:
        check_bert_score()
    lamp, clips, about = _open(request)
    lamp.require("reads_motion")
    embedder = _embedder(request, lamp)
    if embedder.reads_tags:
        raise LampError(
            "the evaluator of Guo et al. reads words with their parts of speech, which captions do not have; "
            "give a model, or an evaluator trained here"
        )
    measures = measure_captioning(MotionCaptioner(lamp), clips, embedder, replications, seed, with_bert_score)
    return Report(
        f"Motion to text: {request.model}",
        [*CAPTIONING_COLUMNS, "BLEU@2", "BLEU@3"],
        {"Real": measures.real, request.model: measures.captioned},
        captioning_rows(lamp.config.dataset),
        about | {"evaluator": embedder.name, "replications": replications, "seed": seed},
        _warnings(request, embedder),
    )


def evaluate_retrieval(request: Request) -> Report:
    """TMR's protocols by the cosine of a text and the query that fits it best, and the released wrapper's, both ways.

    TMR takes similarities of texts from a sentence model. Here texts are the same where they are equal, letter by
    letter, and for the dissimilar subset their similarity is that of the model's own embeddings.
    Raises LampError as `evaluate_generation`.
    """
    lamp, clips, about = _open(request)
    lamp.require("reads_motion")
    texts = [clip.captions[0] for clip in clips]
    embedder = LampEmbedder(lamp, request.model)
    motions = [torch.from_numpy(clip.features) for clip in clips]
    text, queries = embedder.texts(texts), embedder.queries(motions)
    unit_text = text / np.linalg.norm(text, axis=-1, keepdims=True)
    unit_queries = queries / np.linalg.norm(queries, axis=-1, keepdims=True)
    scores = np.einsum("te,mqe->tmq", unit_text, unit_queries).max(-1)
    same = np.array([[a.text == b.text for b in texts] for a in texts], np.float64)
    results = {
        "all": protocols.all_pairs(scores),
        "equal texts": protocols.threshold(scores, same),
        "dissimilar": protocols.dissimilar_subset(scores, unit_text @ unit_text.T),
        "batches of 32": protocols.small_batches(scores),
        "released": protocols.released_wrapper(text, queries.mean(1)),
    }
    rows = {}
    for name, both in results.items():
        for way, ranking in (("text to motion", both.text_to_motion), ("motion to text", both.motion_to_text)):
            row = {f"R@{k}": round(value, 2) for k, value in ranking.recall.items()} | {"of": ranking.candidates}
            rows[f"{name}, {way}"] = row | ({} if np.isnan(ranking.median_rank) else {"MedR": ranking.median_rank})
    columns = [*(f"R@{k}" for k in protocols.RANKS), "MedR", "of"]
    return Report(f"Retrieval: {request.model}", columns, rows, {}, about, _warnings(request, None))


def _open(request: Request) -> tuple[Lamp, list[Clip], dict[str, object]]:
    lamp = load_lamp(request.model, request.device)
    dataset = open_dataset(request.data, request.split)
    if dataset.skeleton is not lamp.skeleton:
        raise LampError(f"the model knows {lamp.skeleton.name}, the data set is {dataset.skeleton.name}; give another")
    if request.clips is not None and request.clips < 2:
        raise LampError(f"clips is {request.clips}, expected 2 or more: measures compare motions")
    clips = clips_to_measure(dataset, lamp.max_tokens)[: request.clips]
    about = {
        "model": request.model,
        "data": Path(request.data).name,
        "split": request.split,
        "clips": len(clips),
        "clips_in_split": len(dataset),
        "statistics": statistics_hash(lamp.mean, lamp.std),
        "device": str(lamp.device),
    }
    return lamp, clips, about


def _embedder(request: Request, lamp: Lamp) -> Embedder:
    if request.evaluator is None:
        return LampEmbedder(lamp, request.model)
    if _model_type(request.evaluator) == "evaluator":
        evaluator = load_evaluator(request.evaluator, str(request.device))
        if len(evaluator.mean) != lamp.skeleton.feature_dim:
            raise LampError(
                f"the evaluator reads {len(evaluator.mean)} features, the model makes {lamp.skeleton.feature_dim}; "
                "give the evaluator of the same data set"
            )
        return EvaluatorEmbedder(evaluator)
    other = load_lamp(request.evaluator, request.device)
    if other.skeleton is not lamp.skeleton:
        raise LampError(f"the evaluator knows {other.skeleton.name}, the model {lamp.skeleton.name}; give another")
    return LampEmbedder(other, request.evaluator)


def _model_type(folder: str) -> str | None:
    try:
        return json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def _warnings(request: Request, embedder: Embedder | None) -> list[str]:
    """embedder: None for measures that need no evaluator."""
    warnings = []
    if embedder and not embedder.as_published:
        itself = request.evaluator in (None, request.model)
        warnings.append(OWN_EVALUATOR.format(name="the model that is measured" if itself else embedder.name))
    if not (Path(request.data) / "new_joint_vecs").is_dir():
        warnings.append(OWN_DATA.format(split=request.split))
    if request.clips is not None:
        warnings.append("only some clips were measured: most measures depend on how many there are")
    return warnings
