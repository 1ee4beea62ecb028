"""A model, a data set and an evaluator -> one report: what `lamp-fast eval TASK` prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints.evaluator import load_evaluator
from ..checkpoints.folder import CONFIG, load_lamp
from ..data import Clip, open_dataset
from ..errors import LampError
from ..models.lamp import Lamp
from ..pipelines.motion_to_text import MotionCaptioner
from .bert_score import OWN_BERT, check_bert_score
from .captioning import measure_captioning
from .embed import Embedder, EvaluatorEmbedder, LampEmbedder
from .generation import GenerationOptions, clips_to_measure, columns, measure_generation, projected_seconds
from .interval import Interval, confidence_interval
from .published import CAPTIONING_COLUMNS, GENERATION_COLUMNS, captioning_rows, generation_rows, retrieval_rows
from .reconstruction import ERROR_COLUMNS, measure_reconstruction, reconstruction_errors
from .reconstruction import protocols as reconstruction_protocols
from .report import Report, statistics_hash
from .retrieval import RETRIEVAL_COLUMNS, measure_retrieval

OWN_EVALUATOR = (
    "the evaluator is our own ({name}), not that of Guo et al.: no figure can be compared with the published ones"
)
OWN_DATA = "the data set has no {split} split of the published one: no figure can be compared with the published ones"


@dataclass(frozen=True)
class Request:
    """What is measured, on what, by whom.

    evaluator: a folder, or a bundled model's name; None: the model itself. captioner: a folder of LaMP-M2T, to find the
    words; None: the model's own text head. bert_model: a folder of transformers for BERTScore; None: roberta-large.
    clips: the first so many only.
    """

    model: str
    data: str
    split: str = "test"
    evaluator: str | None = None
    captioner: str | None = None
    bert_model: str | None = None
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
    captioner = MotionCaptioner.of(lamp, request.captioner) if options.bert_score else None
    measures = measure_generation(lamp, clips, embedder, options, progress, captioner)
    decoding = options.decoding(lamp.config.dataset)
    about |= {
        "evaluator": embedder.name,
        "replications": options.replications,
        "seed": options.seed,
        "guidance_scale": decoding.guidance_scale,
        "num_inference_steps": decoding.num_inference_steps,
        "captions": options.captions,
        "captioner": request.captioner if options.bert_score else None,
        "motions_generated": measures.motions,
        "motions_per_second": round(measures.rate, 1),
        "motions_measured_per_second": round(measures.measuring_rate, 1),
        "hours_for_humanml3d_20_times": round(projected_seconds(measures, options) / 3600, 3),
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
    """Raises LampError as `evaluate_generation`, and where an evaluator wants tagged words and nothing tags them."""
    if with_bert_score:
        check_bert_score()
    lamp, clips, about = _open(request)
    lamp.require("reads_motion")
    embedder = _embedder(request, lamp)
    captioner = MotionCaptioner.of(lamp, request.captioner)
    measures = measure_captioning(captioner, clips, embedder, replications, seed, with_bert_score, request.bert_model)
    return Report(
        f"Motion to text: {request.model}",
        [*CAPTIONING_COLUMNS, "MM-Dist", "BLEU@2", "BLEU@3"],
        {"Real": measures.real, request.model: measures.captioned},
        captioning_rows(lamp.config.dataset),
        about
        | {
            "captioner": request.captioner or "the model's own text head",
            "evaluator": embedder.name,
            "replications": replications,
            "seed": seed,
        },
        _warnings(request, embedder),
    )


def evaluate_tokenizer(request: Request, replications: int = 20, seed: int = 0) -> Report:
    """What the tokenizer restores, measured as generated motions are, and its errors in millimetres.

    Raises LampError as `evaluate_generation`.
    """
    lamp, clips, about = _open(request)
    embedder = _embedder(request, lamp) if request.evaluator or lamp.config.reads_motion else None
    dataset = open_dataset(request.data, request.split)
    rows: dict[str, dict[str, Interval]] = {}
    if embedder:
        real, restored = measure_reconstruction(lamp, clips, embedder, replications, seed)
        rows = {"Real": real, request.model: restored}
    for name, part in reconstruction_protocols(dataset, request.clips).items():
        errors = reconstruction_errors(lamp.tokenizer, part, lamp.mean.cpu().numpy(), lamp.std.cpu().numpy())
        row = {column: confidence_interval([value]) for column, value in zip(ERROR_COLUMNS, vars(errors).values())}
        rows[f"{request.model}, {name}"] = row | {"clips": confidence_interval([len(part)])}
    known = (*GENERATION_COLUMNS, *ERROR_COLUMNS, "clips")
    return Report(
        f"Tokenizer: {request.model}",
        [column for column in known if any(column in row for row in rows.values())],
        rows,
        {},
        about | {"evaluator": embedder.name if embedder else None, "replications": replications, "seed": seed},
        _warnings(request, embedder),
    )


def evaluate_retrieval(request: Request, replications: int = 20, seed: int = 0) -> Report:
    """By distinct text, and by the protocols of TMR and of the release, both ways (`metrics.retrieval`).

    Raises LampError as `evaluate_generation`.
    """
    lamp, clips, about = _open(request)
    whole = open_dataset(request.data, request.split).clips[: request.clips]
    rows = measure_retrieval(LampEmbedder(lamp, request.model), clips, whole, replications, seed)
    return Report(
        f"Retrieval: {request.model}",
        RETRIEVAL_COLUMNS,
        rows,
        retrieval_rows(lamp.config.dataset),
        about | {"replications": replications, "seed": seed},
        _warnings(request, None),
    )


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
    if request.bert_model is not None:
        warnings.append(OWN_BERT.format(name=request.bert_model))
    if request.clips is not None:
        warnings.append("only some clips were measured: most measures depend on how many there are")
    return warnings
