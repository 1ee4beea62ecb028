"""BERTScore as MotionGPT and LaMP report it; over captions of generated motions it is LaMP-BertScore.

LaMP-BertScore (paper, Table 2; the release has no script): the motions made from texts are captioned by LaMP-M2T, and
the captions are compared with the texts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ..errors import LampError, first_line

OWN_BERT = "BERTScore was taken with {name}, not with roberta-large: it cannot be compared with the published one"


def check_bert_score() -> None:
    """Raise `LampError`, before long work, where the package is missing."""
    if find_spec("bert_score") is None:
        raise LampError("BERTScore needs the package bert-score; run: pip install 'lamp-fast[captions]'")


def bert_score(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    device: str | torch.device = "cpu",
    model: str | os.PathLike | None = None,
) -> float:
    """Mean F1 times 100: English, weighed by rarity, rescaled with the package's baseline (released `m2t_metric.py`).

    model: a folder of transformers with an encoder, in the place of roberta-large; its last layer is read and nothing
    is rescaled, as there is no baseline for it, so the figure is another. A caption without words scores 0.
    Raises LampError where the package `bert-score` or the weights it reads are missing.
    """
    check_bert_score()
    from bert_score import score

    options: dict[str, Any] = {"lang": "en", "rescale_with_baseline": True}
    if model is not None:
        try:
            layers = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
        except (OSError, ValueError, KeyError) as error:
            raise LampError(f"{model} is no encoder for BERTScore; give a folder that transformers wrote") from error
        options = {"model_type": str(model), "num_layers": layers}
    try:
        _, _, f1 = score(list(captions), [list(own) for own in references], idf=True, device=str(device), **options)
    except OSError as error:
        raise LampError(
            f"BERTScore reads the weights of {model or 'roberta-large'}, which are neither on this machine nor within "
            f"reach ({first_line(error)}); load them once with access to the Hugging Face Hub, or give the "
            "folder of another encoder"
        ) from error
    return 100 * float(f1.mean())
