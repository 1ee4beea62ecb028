import pytest

from lamp_fast.errors import LampError
from lamp_fast.models.text import word_pieces
from lamp_fast.training.vocabulary import prune_vocabulary

LETTERS = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
SPECIAL = ["[unused0]", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FULL = [
    *SPECIAL,
    "я",
    "##я",
    *LETTERS,
    *("##" + c for c in LETTERS),
    "the",
    "walk",
    "of",
    "##ing",
    "##ed",
    "zebra",
    "人",
]
KEPT_ALWAYS = 4 + 2 * len(LETTERS) + 1


def test_pieces_of_the_texts_come_first_then_the_most_frequent():
    pieces = prune_vocabulary(FULL, ["the zebra"], size=KEPT_ALWAYS + 3)
    assert len(pieces) == KEPT_ALWAYS + 3
    assert pieces[0] == "[PAD]" and pieces[-1] == "[DEC]"
    assert {"[UNK]", "[CLS]", "[SEP]", "z", "##z", "the", "zebra", "walk"} <= set(pieces)
    assert not {"[unused0]", "[MASK]", "я", "##я", "人", "of"} & set(pieces)
    assert pieces[1:-1] == [piece for piece in FULL if piece in pieces and piece != "[PAD]"]


def test_texts_split_as_before_and_the_result_is_the_same_every_time():
    texts = ["The zebra, walking!", "walked of", "人 walks"]
    pieces = prune_vocabulary(FULL, texts, size=KEPT_ALWAYS + 7)
    assert pieces == prune_vocabulary(FULL, iter(texts), size=KEPT_ALWAYS + 7)
    for text in texts:
        assert word_pieces(pieces).encode(text).tokens == word_pieces(FULL).encode(text).tokens


@pytest.mark.parametrize("size", [10, KEPT_ALWAYS - 1, KEPT_ALWAYS + 7])
def test_a_size_that_cannot_be_reached_is_refused(size):
    with pytest.raises(LampError, match=f"{KEPT_ALWAYS} to {KEPT_ALWAYS + 6}"):
        prune_vocabulary(FULL, [], size=size)
