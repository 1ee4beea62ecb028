"""GloVe's word vectors, as the evaluator of Guo et al. reads them (`glove/our_vab_*`)."""

from __future__ import annotations

import os
import pickletools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import LampError

UNKNOWN = "unk"
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"}


def read_words(folder: str | os.PathLike) -> tuple[list[str], Tensor]:
    """N words and their vectors (N, word_dim) float32, from `our_vab_data.npy` and `our_vab_idx.pkl`.

    The second file is a pickle of a dict of words and row numbers. It is not unpickled: the texts and numbers are read
    off its instructions, none of which is carried out.

    Raises LampError where a file is missing or holds something else.
    """
    folder = Path(folder)
    vectors_file, index_file = folder / "our_vab_data.npy", folder / "our_vab_idx.pkl"
    try:
        vectors = np.load(vectors_file, allow_pickle=False).astype(np.float32)
        content = [(op.name, value) for op, value, _ in pickletools.genops(index_file.read_bytes())]
    except (OSError, ValueError, EOFError) as error:
        raise LampError(f"{folder} holds no word vectors ({error}); give the folder `glove` of the release") from error
    words = [value for name, value in content if name in _TEXTS]
    rows = [value for name, value in content if name in _NUMBERS]
    fits = vectors.ndim == 2 and len(words) == len(rows) == len(set(words)) and UNKNOWN in words
    if not fits or not all(0 <= row < len(vectors) for row in rows):
        raise LampError(
            f"{index_file} lists {len(words)} words and {len(rows)} rows of {vectors.shape}, expected a row for each "
            f"word, {UNKNOWN!r} among them; get it again"
        )
    return words, torch.from_numpy(vectors[rows])
