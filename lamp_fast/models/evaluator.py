"""The text-motion evaluator of Guo et al., by whose embeddings the field measures (released `t2m_eval_modules.py`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from ..config import FRAMES_PER_TOKEN, EvaluatorConfig
from ..errors import LampError

NUM_CONTACTS = 4
SLOPE = 0.2


class MovementEncoder(nn.Module):
    """(B, T, F - 4) -> (B, T // 4, movement_dim)."""

    def __init__(self, config: EvaluatorConfig):
        super().__init__()
        self.first = nn.Conv1d(config.feature_dim - NUM_CONTACTS, config.movement_hidden, 4, stride=2, padding=1)
        self.second = nn.Conv1d(config.movement_hidden, config.movement_dim, 4, stride=2, padding=1)
        self.output = nn.Linear(config.movement_dim, config.movement_dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Tensor) -> Tensor:
        hidden = features.transpose(1, 2)
        for conv in (self.first, self.second):
            hidden = F.leaky_relu(self.dropout(conv(hidden)), SLOPE)
        return self.output(hidden.transpose(1, 2))


class SequenceEncoder(nn.Module):
    """A GRU in both directions over (B, L, inputs), its last states projected -> (B, embed_dim)."""

    def __init__(self, inputs: int, hidden: int, embed_dim: int):
        super().__init__()
        self.input = nn.Linear(inputs, hidden)
        self.start = nn.Parameter(torch.randn(2, 1, hidden))
        self.gru = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(2 * hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.input(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed, self.start.repeat(1, len(x), 1))
        return self.output(F.leaky_relu(self.norm(self.hidden(torch.cat([last[0], last[1]], -1))), SLOPE))


class MotionTextEvaluator(nn.Module):
    """Embeddings (B, E) of texts and motions; those of a pair lie close to each other. Rows keep their order.

    (The released wrapper returns them sorted by length.)
    """

    def __init__(self, config: EvaluatorConfig):
        super().__init__()
        self.config = config
        self.movement = MovementEncoder(config)
        self.motion = SequenceEncoder(config.movement_dim, config.motion_hidden, config.embed_dim)
        self.parts_of_speech = nn.Linear(config.num_parts_of_speech, config.word_dim)
        self.text = SequenceEncoder(config.word_dim, config.text_hidden, config.embed_dim)

    def motion_embedding(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features (B, T, F) normalised, zero beyond lengths (B,) int64, frames -> (B, E).

        The convolutions see the zeros behind a motion, so T matters a little: the release pads to 196 frames always.
        Raises LampError for another width, or a length below 4 or above T.
        """
        if features.ndim != 3 or features.shape[2] != self.config.feature_dim:
            raise LampError(f"features have shape {tuple(features.shape)}, expected (B, T, {self.config.feature_dim})")
        _check_lengths(lengths, FRAMES_PER_TOKEN, features.shape[1], "frames")
        return self.motion(self.movement(features[..., :-NUM_CONTACTS]), lengths // FRAMES_PER_TOKEN)

    def text_embedding(self, words: Tensor, parts_of_speech: Tensor, lengths: Tensor) -> Tensor:
        """words (B, L, word_dim), parts_of_speech (B, L, num_parts_of_speech) one-hot, lengths (B,) int64 -> (B, E).

        Raises LampError for other widths, or a length below 1 or above L.
        """
        widths = (self.config.word_dim, self.config.num_parts_of_speech)
        if (words.shape[-1], parts_of_speech.shape[-1]) != widths:
            raise LampError(
                f"words and parts of speech have widths {words.shape[-1]} and {parts_of_speech.shape[-1]}, "
                f"expected {widths[0]} and {widths[1]}"
            )
        _check_lengths(lengths, 1, words.shape[1], "words")
        return self.text(words + self.parts_of_speech(parts_of_speech), lengths)


def _check_lengths(lengths: Tensor, least: int, most: int, unit: str) -> None:
    if not ((lengths >= least) & (lengths <= most)).all():
        raise LampError(f"lengths are {lengths.tolist()}, expected {least} to {most} {unit}")
