"""BERTScore as MotionGPT and LaMP report it; over captions of generated motions it is LaMP-BertScore.

LaMP-BertScore (paper, Table 2; the release has no script): the motions made from texts are captioned by LaMP-M2T, and
the captions are compared with the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from ..errors import LampError


def check_bert_score() -> None:
    """Raise `LampError`, before long work, where the package is missing."""
    if find_spec("bert_score") is None:
        raise LampError("BERTScore needs the package bert-score; run: pip install 'lamp-fast[captions]'")


def bert_score(captions: Sequence[str], references: Sequence[Sequence[str]], device: str = "cpu") -> float:
    """Mean F1 times 100: English, weighed by rarity, rescaled with the package's baseline (released `m2t_metric.py`).

    Raises LampError where the package `bert-score` or the weights it reads are missing.
    """
    check_bert_score()
    from bert_score import score

    try:
        _, _, f1 = score(
            list(captions), [list(own) for own in references], lang="en", idf=True,
            rescale_with_baseline=True, device=device,
        )  # fmt: skip
    except OSError as error:
        raise LampError(
            "BERTScore reads the weights of roberta-large, which are neither on this machine nor within reach "
            f"({str(error).splitlines()[0]}); load them once with access to the Hugging Face Hub"
        ) from error
    return 100 * float(f1.mean())
