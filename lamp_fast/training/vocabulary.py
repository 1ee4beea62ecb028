"""A small vocabulary cut from a large one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import LampError
from ..models.text import DEC, END, PAD, START, UNKNOWN, word_pieces


def prune_vocabulary(full_vocab: Sequence[str], texts: Iterable[str], size: int = 10_240) -> list[str]:
    """`size` pieces of `full_vocab` (BERT's: earlier = more frequent), in its order: [PAD] first, [DEC] added last.

    Kept are the special pieces, every ASCII character alone and inside a word (so that any English word can be
    spelled), every piece of `texts` (so that they split as before), and the most frequent ASCII pieces that still fit.
    Raises LampError when `size` is too small for what must be kept or larger than what there is.
    """
    splitter = word_pieces(full_vocab)
    kept = {PAD, UNKNOWN, START, END}
    kept.update(piece for piece in full_vocab if piece.isascii() and len(piece.removeprefix("##")) == 1)
    for text in texts:
        kept.update(splitter.encode(text).tokens)
    frequent = [p for p in full_vocab if p.isascii() and p not in kept and not (p.startswith("[") and len(p) > 1)]
    room = size - 1 - len(kept)
    if not 0 <= room <= len(frequent):
        raise LampError(
            f"a vocabulary of {size} pieces cannot be cut: it takes {len(kept) + 1} to {len(kept) + 1 + len(frequent)}"
        )
    kept.update(frequent[:room])
    ordered = [piece for piece in full_vocab if piece in kept and piece != PAD]
    return [PAD, *ordered, DEC]
