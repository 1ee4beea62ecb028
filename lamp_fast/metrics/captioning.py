"""Motion to text, measured as MotionGPT and LaMP do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..data import Caption, Clip
from ..errors import LampError
from ..pipelines.motion_to_text import MotionCaptioner
from .bert_score import bert_score
from .captions import caption_scores
from .embed import Embedder
from .interval import Interval, confidence_interval
from .matching import matching
from .words import tag


@dataclass(frozen=True)
class CaptioningMeasures:
    """Intervals by column, of the captions and of the first text of each clip; the captions themselves."""

    captioned: dict[str, Interval]
    real: dict[str, Interval]
    captions: list[str]


def measure_captioning(
    captioner: MotionCaptioner,
    clips: Sequence[Clip],
    embedder: Embedder,
    replications: int = 20,
    seed: int = 0,
    with_bert_score: bool = False,
    bert_model: str | None = None,
) -> CaptioningMeasures:
    """Caption every clip, with 5 beams as released, and compare with its texts.

    Captions do not vary; the groups of R-precision do. Raises LampError without replications, and where captions must
    be tagged for the embedder and cannot be.
    """
    if replications < 1:
        raise LampError(f"replications is {replications}, expected at least 1")
    if embedder.reads_tags:
        tag("a person walks")  # what is missing is said before the long work
    motions = [torch.from_numpy(clip.features) for clip in clips]
    made = [caption.text for caption in captioner(motions)]
    embeddings = embedder.motions(motions)
    captions = [Caption(text, tag(text) if embedder.reads_tags else ()) for text in made]
    texts = {"captioned": captions, "real": [clip.captions[0] for clip in clips]}
    rows = {name: embedder.texts(captions) for name, captions in texts.items()}
    orders = [np.random.default_rng(seed + i).permutation(len(clips)) for i in range(replications)]
    intervals = {}
    for name, text in rows.items():
        results = [matching(embeddings[order], text[order]) for order in orders]
        intervals[name] = {f"R@{k}": confidence_interval([r.precision[k - 1] for r in results]) for k in (1, 3)}
        intervals[name]["MM-Dist"] = confidence_interval([r.distance for r in results])
    references = [clip.texts for clip in clips]
    scores = caption_scores(made, references)
    if with_bert_score:
        scores["BertScore"] = bert_score(made, references, captioner.lamp.device, bert_model)
    intervals["captioned"] |= {name: confidence_interval([score]) for name, score in scores.items()}
    return CaptioningMeasures(**intervals, captions=made)
