"""An evaluator on disk: the folder of its model, the statistics of the features it reads, and its words.

config.json, model.safetensors    as every model
statistics.safetensors            mean and std of the features
words.txt, words.safetensors      one word a line, and their vectors
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from ..errors import LampError
from ..files import new_file
from ..models.evaluator import MotionTextEvaluator
from ..models.text import START
from .folder import CONFIG, STATISTICS, WEIGHTS, load_model, read_statistics, save_model, write_statistics
from .weights import read_tensors

WORDS, VECTORS = "words.txt", "words.safetensors"
FILES = {CONFIG, WEIGHTS, STATISTICS, WORDS, VECTORS}


@dataclass(frozen=True)
class Evaluator:
    """The networks of Guo et al. with what they read: mean, std (F,), and N words with vectors (N, word_dim)."""

    model: MotionTextEvaluator
    mean: Tensor
    std: Tensor
    words: list[str]
    vectors: Tensor

    @property
    def reads_pieces(self) -> bool:
        """Word pieces, as those trained here do, and not GloVe's words with their parts of speech."""
        return START in self.words

    def __post_init__(self) -> None:
        config = self.model.config
        if self.mean.shape != (config.feature_dim,) or self.std.shape != (config.feature_dim,):
            raise LampError(
                f"the evaluator reads {config.feature_dim} features, its statistics have {tuple(self.mean.shape)} and "
                f"{tuple(self.std.shape)}; give those of its own `meta` folder"
            )
        if self.vectors.shape != (len(self.words), config.word_dim):
            raise LampError(
                f"the evaluator reads word vectors of {config.word_dim} numbers, {len(self.words)} words came with "
                f"{tuple(self.vectors.shape)}; give the folder `glove` of the release"
            )


def save_evaluator(folder: str | os.PathLike, evaluator: Evaluator) -> None:
    """Write the files of an evaluator; other files of the folder stay. Raises `LampError` as `save_model`."""
    folder = Path(folder)
    save_model(folder, evaluator.model)
    write_statistics(folder, evaluator.mean, evaluator.std)
    with new_file(folder / VECTORS) as file:
        save_file({"vectors": evaluator.vectors.contiguous()}, file)
    with new_file(folder / WORDS) as file:
        file.write_text("".join(word + "\n" for word in evaluator.words), encoding="utf-8")


def load_evaluator(folder: str | os.PathLike, device: str = "cpu") -> Evaluator:
    """Read what `save_evaluator` wrote. Raises `LampError` for anything that is missing or does not fit."""
    folder = Path(folder)
    model = load_model(folder, device)
    if not isinstance(model, MotionTextEvaluator):
        raise LampError(f"{folder} is not an evaluator; give a folder that `lamp-fast convert` made of one")
    try:
        words = (folder / WORDS).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LampError(f"{folder / WORDS} cannot be read ({error}); convert the evaluator again") from error
    statistics, vectors = read_statistics(folder), read_tensors(folder / VECTORS)
    if vectors.keys() != {"vectors"}:
        raise LampError(f"{folder} holds other tensors than an evaluator's; convert the evaluator again")
    return Evaluator(model, words=words, **statistics, **vectors)
