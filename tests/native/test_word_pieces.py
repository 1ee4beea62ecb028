"""The core splits any text into the pieces that `TextTokenizer` finds, and refuses the same texts."""

import random

import pytest

from lamp_fast import LampError
from lamp_fast.checkpoints.folder import VOCABULARY, find_lamp
from lamp_fast.models.text import TextTokenizer

native = pytest.importorskip("lamp_fast._native", reason="the native module is not built")

MAX_TOKENS = 128
SPECIAL = "[PAD] [UNK] [CLS] [SEP]".split()


@pytest.fixture(scope="module")
def lamp_mini():
    file = find_lamp("lamp-mini") / VOCABULARY
    return TextTokenizer(file), native.Words(file.read_bytes())


@pytest.fixture(scope="module")
def all_characters(tmp_path_factory):
    """A vocabulary that hides nothing: every character is a piece, but for most ideographs."""
    file = tmp_path_factory.mktemp("words") / "vocab.txt"
    characters = [*map(chr, (*range(0x21, 0x3500), *range(0xA000, 0xD800), *range(0xE000, 0x20000)))]
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters), "##ab", "abab", "[DEC]"]
    file.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return TextTokenizer(file), native.Words(file.read_bytes())


def check(words, text: str, max_tokens: int = MAX_TOKENS) -> None:
    expected, got = words
    try:
        ids = expected([text], max_tokens)[0][0].tolist()
    except LampError as error:
        with pytest.raises(ValueError) as refused:
            got.encode(text.encode(), max_tokens)
        # The same sentence, but for how the prompt is shown in it.
        assert str(refused.value)[:12] == str(error)[:12], repr(text)
        assert str(refused.value)[-20:] == str(error)[-20:], repr(text)
    else:
        assert got.encode(text.encode(), max_tokens) == ids, repr(text)


@pytest.mark.parametrize(
    "text",
    [
        "a person walks forward, then waves with the right hand.",
        "A Person WALKS in Zürich's café -- naïvely!",
        "jump\tand\nturn\r\n\vslowly\x00\x01\x7f\u200b\ufeffnow",
        "someone\u00a0walks\u3000fast\u2028down",
        "走る人 walks 한국어 и бежит ﷽ 🏃‍♀️ runs",
        "Ǆ İ ß ſ ﬁ ½ Å Å Å e\u0301\u0323 \u1e9b\u0323",
        "[CLS] [MASK] ##ing # ##",
        "x" * 100,
        "x" * 101,
        "walk " * 126,
        "walk " * 127,
        "",
        " \t\n\x1c\u2003",
        "\u200b",
        "\x1c.",
        "走",
        "🕺🕺",
        "- - -",
        "1 2 3",
        "a\ufffdb",
        "\U0010ffff a",
        "\u302e\U0001d165\U0001d16d\u302f\U0001d165 a",
        "a\u0345\u302e\u034f\U0001d165",
    ],
)
def test_texts(lamp_mini, all_characters, text):
    check(lamp_mini, text)
    check(all_characters, text)


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 4, 5])
def test_few_tokens(lamp_mini, max_tokens):
    check(lamp_mini, "walks forward", max_tokens)


def test_every_character(all_characters):
    """Alone and inside a word."""
    for first in range(0, 0x110000, 256):
        characters = [chr(c) for c in range(first, first + 256) if not 0xD800 <= c < 0xE000]
        check(all_characters, "".join(f"a{c}b {c} " for c in characters), 4096)


def test_random_texts(lamp_mini, all_characters):
    random.seed(0)
    marks = [chr(c) for c in (*range(0x300, 0x370), 0x302E, 0x302F, *range(0x1D165, 0x1D173), 0x1E944, 0x34F, 0x200D)]
    letters = list("aAbBinos' -,.\t\u00a0\u1100\u1161\uac00\uac01éÉß走は\U0001d15e\u0344\u2260\u037e")
    planes = [(0x20, 0x7F), (0x80, 0x24F), (0x370, 0x1FFF), (0x2000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    for _ in range(6000):
        parts = random.choices([letters, marks, None], (6, 3, 1), k=random.randrange(1, 40))
        text = "".join(random.choice(part) if part else chr(random.randint(*random.choice(planes))) for part in parts)
        check(all_characters, text)
        check(lamp_mini, text)


@pytest.mark.parametrize(
    "text",
    [b"a \xff", b"\xc3", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xf0\x9f\x95", b"a\x80"],
)
def test_not_utf8(lamp_mini, text):
    with pytest.raises(ValueError, match="the prompt is not UTF-8"):
        lamp_mini[1].encode(text, MAX_TOKENS)


@pytest.mark.parametrize(
    "vocabulary, sentence",
    [
        ("", "line end"),
        ("a", "line end"),
        ("[PAD]\n[UNK]\n[CLS]\na\n[DEC]\n", "lacks \\[SEP\\]"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", "does not end with \\[DEC\\]"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\n[DEC]\n", "twice"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n\xff\n[DEC]\n", "UTF-8"),
    ],
)
def test_bad_vocabularies(vocabulary, sentence):
    with pytest.raises(ValueError, match=sentence):
        native.Words(vocabulary)
