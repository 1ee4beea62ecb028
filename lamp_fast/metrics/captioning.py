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
) -> CaptioningMeasures:
    """Caption every clip, with 5 beams as released, and compare with its texts.

    Captions do not vary; the groups of R-precision do. embedder reads captions without tagged words.
    Raises LampError without replications.
    """
    if replications < 1:
        raise LampError(f"replications is {replications}, expected at least 1")
    motions = [torch.from_numpy(clip.features) for clip in clips]
    made = [caption.text for caption in captioner(motions)]
    embeddings = embedder.motions(motions)
    texts = {"captioned": [Caption(text) for text in made], "real": [clip.captions[0] for clip in clips]}
    rows = {name: embedder.texts(captions) for name, captions in texts.items()}
    orders = [np.random.default_rng(seed + i).permutation(len(clips)) for i in range(replications)]
    intervals = {}
    for name, text in rows.items():
        precision = np.array([matching(embeddings[order], text[order]).precision for order in orders])
        intervals[name] = {f"R@{k}": confidence_interval(precision[:, k - 1]) for k in (1, 3)}
    references = [clip.texts for clip in clips]
    scores = caption_scores(made, references)
    if with_bert_score:
        scores["BertScore"] = bert_score(made, references)
    intervals["captioned"] |= {name: confidence_interval([score]) for name, score in scores.items()}
    return CaptioningMeasures(**intervals, captions=made)
