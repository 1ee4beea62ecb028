"""Embeddings of texts and motions that measures are taken of: by the evaluator of Guo et al., or by LaMP itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.evaluator import Evaluator
from ..config import FRAMES_PER_TOKEN
from ..data import Caption
from ..errors import LampError
from ..models.lamp import Lamp
from ..models.text import UNKNOWN, word_pieces
from .words import tagged_words

BATCH = 64
FRAMES = 196  # to which the release pads every motion
MAX_WORDS, MAX_PIECES = 20, 32


class Embedder(Protocol):
    """name: for tables. as_published: whether measures taken with it can stand beside those of papers.

    reads_tags: captions need the parts of speech of their words.
    """

    name: str
    as_published: bool
    reads_tags: bool

    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        """N captions -> (N, E)."""

    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        """N motions (T, F) in the data set's own units -> (N, E)."""


def known_texts(texts: Iterable[str], lamp: Lamp) -> list[str]:
    """The texts, but "a" for one without a word that the model knows: it must not end an evaluation."""
    return [text if lamp.text_tokenizer.knows(text) else "a" for text in texts]


class LampEmbedder:
    """LaMP-Feat as the released wrapper takes it: the text's first token, and the mean of the queries, not normalised.

    R-precision with it is LaMP-R-precision (paper, Table 2). Texts are read as `known_texts` gives them.
    Raises LampError for a model that reads no motions.
    """

    as_published = reads_tags = False

    def __init__(self, lamp: Lamp, name: str):
        lamp.require("reads_motion")
        self.lamp, self.name = lamp, name

    @torch.inference_mode()
    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        model, config = self.lamp.language_motion, self.lamp.config.language_motion
        longest = min(config.max_pretraining_text_tokens, config.max_positions)
        rows = []
        for batch in _batches(captions):
            texts = known_texts((caption.text for caption in batch), self.lamp)
            ids, mask = self.lamp.text_tokenizer(texts, longest, truncate=True)
            hidden = model.encode_text(ids.to(self.lamp.device), mask.to(self.lamp.device))
            rows.append(model.text_proj(hidden[:, 0]))
        return _numpy(rows)

    @torch.inference_mode()
    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        return self.queries(motions).mean(1)

    @torch.inference_mode()
    def queries(self, motions: Sequence[Tensor]) -> np.ndarray:
        """As `motions`, one for every query: (N, Q, E)."""
        model = self.lamp.language_motion
        order = np.argsort([len(motion) for motion in motions], kind="stable")  # those of one length are read together
        batches = _batches([motions[i] for i in order])
        read = (model.encode_motion(*self.lamp.read_motions(batch)) for batch in batches)
        return _numpy([model.motion_proj(hidden) for hidden in read])[np.argsort(order)]


class EvaluatorEmbedder:
    """The evaluator of Guo et al., by which the field measures (released `EvaluatorModelWrapper`), or one of its kind.

    One that was trained here reads word pieces; that of Guo et al. words with their parts of speech.
    """

    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator
        self.as_published = self.reads_tags = not evaluator.reads_pieces
        self.name = "an evaluator trained here" if evaluator.reads_pieces else "the evaluator of Guo et al."
        self._rows = {word: row for row, word in enumerate(evaluator.words)}
        self._splitter = word_pieces(evaluator.words) if evaluator.reads_pieces else None

    def read(self, caption: Caption) -> tuple[list[int], list[int]]:
        """Rows of the word vectors and categories of the words. Raises LampError where tags are needed and missing."""
        if self._splitter is None:
            return tagged_words(caption, self._rows, MAX_WORDS)
        pieces = self._splitter.encode(caption.text).ids[:MAX_PIECES] or [self._rows[UNKNOWN]]
        return pieces, [0] * len(pieces)

    @torch.inference_mode()
    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        rows = []
        for batch in _batches(captions):
            words, speech, lengths = pad_words([self.read(caption) for caption in batch], self.evaluator)
            model, device = self.evaluator.model, self._device
            rows.append(model.text_embedding(words.to(device), speech.to(device), lengths))
        return _numpy(rows)

    @torch.inference_mode()
    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        rows = []
        for batch in _batches(motions):
            features, lengths = pad_motions([motion.to(self._device) for motion in batch], self.evaluator)
            rows.append(self.evaluator.model.motion_embedding(features, lengths))
        return _numpy(rows)

    @property
    def _device(self) -> torch.device:
        return next(self.evaluator.model.parameters()).device


def pad_words(read: Sequence[tuple[list[int], list[int]]], evaluator: Evaluator) -> tuple[Tensor, Tensor, Tensor]:
    """B texts as `EvaluatorEmbedder.read` gives them -> vectors (B,L,W), one-hot categories (B,L,P), lengths (B,)."""
    lengths = torch.tensor([len(rows) for rows, _ in read])
    words = torch.zeros(len(read), int(lengths.max()), evaluator.vectors.shape[1])
    speech = torch.zeros(*words.shape[:2], evaluator.model.config.num_parts_of_speech)
    for i, (rows, categories) in enumerate(read):
        words[i, : len(rows)] = evaluator.vectors[rows]
        speech[i, range(len(categories)), categories] = 1
    return words, speech, lengths


def pad_motions(motions: Sequence[Tensor], evaluator: Evaluator) -> tuple[Tensor, Tensor]:
    """B motions (T, F) in the data set's own units -> normalised, with zeros up to 196 frames, and lengths (B,)."""
    device = motions[0].device
    mean, std = evaluator.mean.to(device), evaluator.std.to(device)
    lengths = torch.tensor([min(len(m), FRAMES) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN for m in motions])
    features = mean.new_zeros(len(motions), FRAMES, len(mean))
    for i, (motion, length) in enumerate(zip(motions, lengths.tolist())):
        features[i, :length] = (motion[:length].to(mean) - mean) / std
    return features, lengths


def _batches(rows: Sequence) -> list[Sequence]:
    if not len(rows):
        raise LampError("there is nothing to embed; give texts or motions")
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _numpy(rows: list[Tensor]) -> np.ndarray:
    return torch.cat(rows).float().cpu().numpy()
