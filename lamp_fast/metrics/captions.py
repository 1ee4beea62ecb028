"""BLEU, ROUGE-L and CIDEr of captions, as MotionGPT and LaMP report them (`m2t_metric.py`, on nlg-metricverse).

Written here: of the packages that have these measures, those that are kept up differ from what the papers ran (length
penalty, tokens), pycocoevalcap starts Java for its tokens, and nlg-metricverse downloads code when it runs.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import LampError

Tokens = Sequence[str]
ORDER = 4
CIDER_SIGMA = 6.0


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """N captions and one or more references for each -> BLEU@1..4, ROUGE-L and CIDEr, times 100 as papers print them.

    CIDEr runs over words as they stand, with case and punctuation, as in the release; `cider` itself takes any tokens.
    Raises LampError when there are none, the numbers differ, or a caption has no reference.
    """
    _check(captions, references)
    plain = [words(caption) for caption in captions]
    plain_references = [[words(reference) for reference in own] for own in references]
    scores = {f"BLEU@{n}": bleu(plain, plain_references, n) for n in range(1, ORDER + 1)}
    scores["ROUGE-L"] = float(np.mean(rouge_l(captions, references)))
    as_they_stand = [[reference.split() for reference in own] for own in references]
    scores["CIDEr"] = float(np.mean(cider([caption.split() for caption in captions], as_they_stand)))
    return {name: 100 * score for name, score in scores.items()}


def words(text: str) -> list[str]:
    """Lower case, without punctuation, split at white space."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).split()


def bleu(captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]], order: int = ORDER) -> float:
    """Corpus BLEU without smoothing. A caption's reference length is its shortest reference, as in the release."""
    matches, possible = np.zeros(order), np.zeros(order)
    length = reference_length = 0
    for caption, own in zip(captions, references, strict=True):
        length += len(caption)
        reference_length += min(map(len, own))
        most: Counter[tuple[str, ...]] = Counter()
        for reference in own:
            most |= _all_grams(reference, order)
        for gram, count in (_all_grams(caption, order) & most).items():
            matches[len(gram) - 1] += count
        possible += [max(len(caption) - n, 0) for n in range(order)]
    if not matches.all():
        return 0.0
    penalty = min(1.0, math.exp(1 - reference_length / length))
    return float(penalty * np.exp(np.log(matches / possible).mean()))


def rouge_l(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """F1 of the longest common subsequence with the best reference (N,), over lower-case letters and digits.

    The release prints the median of an unseeded bootstrap; the mean of this is what it scatters around.
    """
    return np.array([max(_lcs_f1(c, r) for r in own) for c, own in zip(captions, references, strict=True)])


def cider(captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """CIDEr-D (N,), 0 to 10: n-grams of 1 to 4 weighed by how rare they are among these references."""
    seen: Counter[tuple[str, ...]] = Counter()
    for own in references:
        seen.update({gram for reference in own for gram in _all_grams(reference)})
    rarity = {gram: math.log(len(references)) - math.log(count) for gram, count in seen.items()}
    unseen = math.log(len(references))

    def vectors(tokens: Tokens) -> list[dict[tuple[str, ...], float]]:
        parts = [_grams(tokens, n) for n in range(1, ORDER + 1)]
        return [{gram: count * rarity.get(gram, unseen) for gram, count in part.items()} for part in parts]

    scores = []
    for caption, own in zip(captions, references, strict=True):
        mine = vectors(caption)
        similarities = [_cider_pair(caption, mine, reference, vectors(reference)) for reference in own]
        scores.append(10 * np.mean(similarities))
    return np.array(scores)


def _cider_pair(caption: Tokens, mine: list[dict], reference: Tokens, theirs: list[dict]) -> float:
    # The scorer measures lengths in bigrams.
    difference = max(len(caption) - 1, 0) - max(len(reference) - 1, 0)
    parts = []
    for a, b in zip(mine, theirs, strict=True):
        norm = math.sqrt(sum(v * v for v in a.values())) * math.sqrt(sum(v * v for v in b.values()))
        product = sum(min(value, b.get(gram, 0.0)) * b.get(gram, 0.0) for gram, value in a.items())
        parts.append(product / norm if norm else 0.0)
    return float(np.mean(parts)) * math.exp(-(difference**2) / (2 * CIDER_SIGMA**2))


def _lcs_f1(caption: str, reference: str) -> float:
    a, b = (re.findall("[a-z0-9]+", text.lower()) for text in (caption, reference))
    row = [0] * (len(b) + 1)
    for token in a:
        above = row
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if token == other else max(above[j + 1], row[j]))
    return 2 * row[-1] / (len(a) + len(b)) if row[-1] else 0.0


def _grams(tokens: Tokens, n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n))))


def _all_grams(tokens: Tokens, order: int = ORDER) -> Counter[tuple[str, ...]]:
    return sum((_grams(tokens, n) for n in range(1, order + 1)), Counter())


def _check(captions: Sequence[str], references: Sequence[Iterable[str]]) -> None:
    if not captions or len(captions) != len(references):
        raise LampError(f"{len(captions)} captions and references for {len(references)}; give references for each one")
    if not all(references):
        raise LampError("a caption has no reference; give one or more for each")
