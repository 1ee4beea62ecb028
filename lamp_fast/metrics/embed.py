"""Embeddings of texts and motions that measures are taken of: by the evaluator of Guo et al., or by LaMP itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.evaluator import Evaluator
from ..config import FRAMES_PER_TOKEN
from ..data import Caption
from ..errors import LampError
from ..models.lamp import Lamp
from .words import tagged_words

BATCH = 64
FRAMES = 196  # to which the release pads every motion
MAX_WORDS = 20


class Embedder(Protocol):
    """name: for tables. as_published: whether measures taken with it can stand beside those of papers."""

    name: str
    as_published: bool

    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        """N captions -> (N, E)."""

    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        """N motions (T, F) in the data set's own units -> (N, E)."""


class LampEmbedder:
    """LaMP-Feat as the released wrapper takes it: the text's first token, and the mean of the queries, not normalised.

    R-precision with it is LaMP-R-precision (paper, Table 2). Raises LampError for a model that reads no motions.
    """

    as_published = False

    def __init__(self, lamp: Lamp, name: str):
        lamp.require("reads_motion")
        self.lamp, self.name = lamp, name

    @torch.inference_mode()
    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        model, config = self.lamp.language_motion, self.lamp.config.language_motion
        longest = min(config.max_pretraining_text_tokens, config.max_positions)
        rows = []
        for batch in _batches(captions):
            texts = [caption.text for caption in batch]
            ids, mask = self.lamp.text_tokenizer(texts, longest, truncate=True)
            hidden = model.encode_text(ids.to(self.lamp.device), mask.to(self.lamp.device))
            rows.append(model.text_proj(hidden[:, 0]))
        return _numpy(rows)

    @torch.inference_mode()
    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        model = self.lamp.language_motion
        order = np.argsort([len(motion) for motion in motions], kind="stable")  # those of one length are read together
        batches = _batches([motions[i] for i in order])
        read = (model.encode_motion(*self.lamp.read_motions(batch)) for batch in batches)
        return _numpy([model.motion_proj(hidden).mean(1) for hidden in read])[np.argsort(order)]


class GuoEmbedder:
    """The evaluator of Guo et al., by which the field measures (released `EvaluatorModelWrapper`)."""

    name = "the evaluator of Guo et al."
    as_published = True

    def __init__(self, evaluator: Evaluator):
        self.evaluator = evaluator
        self._rows = {word: row for row, word in enumerate(evaluator.words)}

    @torch.inference_mode()
    def texts(self, captions: Sequence[Caption]) -> np.ndarray:
        model, device = self.evaluator.model, self._device
        rows = []
        for batch in _batches(captions):
            read = [tagged_words(caption, self._rows, MAX_WORDS) for caption in batch]
            lengths = torch.tensor([len(words) for words, _ in read])
            words = torch.zeros(len(read), int(lengths.max()), self.evaluator.vectors.shape[1])
            speech = torch.zeros(*words.shape[:2], model.config.num_parts_of_speech)
            for i, (indices, parts) in enumerate(read):
                words[i, : len(indices)] = self.evaluator.vectors[indices]
                speech[i, range(len(parts)), parts] = 1
            rows.append(model.text_embedding(words.to(device), speech.to(device), lengths))
        return _numpy(rows)

    @torch.inference_mode()
    def motions(self, motions: Sequence[Tensor]) -> np.ndarray:
        mean, std = self.evaluator.mean.to(self._device), self.evaluator.std.to(self._device)
        rows = []
        for batch in _batches(motions):
            lengths = torch.tensor([min(len(m), FRAMES) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN for m in batch])
            padded = mean.new_zeros(len(batch), FRAMES, len(mean))
            for i, (motion, length) in enumerate(zip(batch, lengths.tolist())):
                padded[i, :length] = (motion[:length].to(mean) - mean) / std
            rows.append(self.evaluator.model.motion_embedding(padded, lengths))
        return _numpy(rows)

    @property
    def _device(self) -> torch.device:
        return next(self.evaluator.model.parameters()).device


def _batches(rows: Sequence) -> list[Sequence]:
    if not len(rows):
        raise LampError("there is nothing to embed; give texts or motions")
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _numpy(rows: list[Tensor]) -> np.ndarray:
    return torch.cat(rows).float().cpu().numpy()
