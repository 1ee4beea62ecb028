"""Words to ids: uncased WordPiece, as bert-base-uncased."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor

from ..errors import LampError

PAD, UNKNOWN, START, END, DEC = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]"


def read_vocabulary(vocab_file: str | Path) -> list[str]:
    """The pieces of a vocabulary file, one a line; the line number is the id. Raises LampError if it cannot be read,
    lists a piece twice or lacks one of [PAD], [UNK], [CLS], [SEP]."""
    try:
        pieces = Path(vocab_file).read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LampError(f"the vocabulary {vocab_file} cannot be read ({error}); give a vocab.txt in UTF-8") from error
    missing = {PAD, UNKNOWN, START, END} - set(pieces)
    if missing:
        raise LampError(f"the vocabulary {vocab_file} lacks {', '.join(sorted(missing))}; give a BERT vocab.txt")
    if len(set(pieces)) < len(pieces):
        raise LampError(f"the vocabulary {vocab_file} lists a piece twice; give a vocab.txt of distinct pieces")
    return pieces


def word_pieces(pieces: Sequence[str]) -> Tokenizer:
    """Splitter of plain text into these pieces; it adds no special ones."""
    tokenizer = Tokenizer(WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token=UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


class TextTokenizer:
    """Text to ids and back. [DEC] has the last id, and gets one more when the file does not list it (BERT's does not).

    Raises LampError when the file is no vocabulary.
    """

    def __init__(self, vocab_file: str | Path):
        self.pieces = read_vocabulary(vocab_file)
        if DEC not in self.pieces:
            self.pieces.append(DEC)
        if self.pieces[-1] != DEC:
            raise LampError(f"the vocabulary {vocab_file} has {DEC} before its end; it must be the last piece")
        self.pad_id, self.start_id, self.end_id = map(self.pieces.index, (PAD, START, END))
        self._unknown_id = self.pieces.index(UNKNOWN)
        self._splitter = word_pieces(self.pieces)

    @property
    def dec_id(self) -> int:
        return len(self.pieces) - 1

    def __call__(
        self, texts: Sequence[str], max_tokens: int, pad_to_max: bool = False, truncate: bool = False
    ) -> tuple[Tensor, Tensor]:
        """B texts -> input_ids (B,L) int64, attention_mask (B,L) int64; L is the longest, or max_tokens.

        Raises LampError when `texts` is not a list of strings, and for a text that is empty, has no known English
        word, or more than max_tokens tokens, [CLS] and [SEP] included (unless `truncate`, meant for training texts).
        """
        if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
            raise LampError("the prompts must be a list of one or more texts, such as ['a person walks']")
        rows = [self._encode(text, max_tokens, truncate) for text in texts]
        length = max_tokens if pad_to_max else max(map(len, rows))
        input_ids = torch.tensor([row + [self.pad_id] * (length - len(row)) for row in rows])
        words = torch.tensor([len(row) for row in rows])
        return input_ids, (torch.arange(length) < words[:, None]).long()

    def _encode(self, text: str, max_tokens: int, truncate: bool) -> list[int]:
        if not text.strip():
            raise LampError("the prompt is empty; describe a motion, such as 'a person walks forward'")
        pieces = self._split(text)
        if not any(map(self._is_known_word, pieces)):
            raise LampError(f"no word of the prompt {_shown(text)} is known; describe the motion in English words")
        if truncate:
            pieces = pieces[: max_tokens - 2]
        count = len(pieces) + 2
        if count > max_tokens:
            raise LampError(
                f"the prompt {_shown(text)} has {count} tokens, the model reads at most {max_tokens}; shorten it"
            )
        return [self.start_id, *pieces, self.end_id]

    def _split(self, text: str) -> list[int]:
        # Undecodable bytes of a command line arrive as lone surrogates, which the splitter does not take.
        return self._splitter.encode(text.encode("utf-8", "replace").decode()).ids

    def knows(self, text: str) -> bool:
        """Whether the text has a known English word: others are refused."""
        return any(map(self._is_known_word, self._split(text)))

    def _is_known_word(self, piece_id: int) -> bool:
        """Letters of other scripts and emoji may have ids of their own in BERT's vocabulary, but no meaning here."""
        return piece_id != self._unknown_id and any(c.isascii() and c.isalnum() for c in self.pieces[piece_id])

    def decode(self, ids: Tensor) -> list[str]:
        """ids (B,L) int64 -> B texts, each up to its first [SEP]."""
        rows = [row[: row.index(self.end_id)] if self.end_id in row else row for row in ids.tolist()]
        return [self._splitter.decode(row, skip_special_tokens=False) for row in rows]


def _shown(text: str, length: int = 40) -> str:
    return repr(text if len(text) <= length else text[:length] + "…")
