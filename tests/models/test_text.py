import pytest
import torch

from lamp_fast.errors import LampError
from lamp_fast.models.text import TextTokenizer, read_vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS.replace("q", ""),
    *("##" + c for c in LETTERS),
    *(",", ".", "!", "'", "-", "(", ")", "[", "]", "人", "走", "ж", "##ж"),
    *("a", "person", "walk", "##s", "##ing", "cafe", "naive", "hand")[1:],
]


@pytest.fixture
def vocab_file(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys(PIECES)) + "\n", encoding="utf-8")
    return tmp_path / "vocab.txt"


@pytest.fixture
def tokenizer(vocab_file):
    return TextTokenizer(vocab_file)


ODD = [
    "a person walks",
    "A PERSON Walking",
    "Café, naïve… CAFÉ",
    "person人走walk",
    "walk 🙂 walk👍🏽",
    "don't (walk) [hand]!!",
    "walk\tperson\n\nhand\u3000walk\u00a0hand",
    "walk\u200bing per\u0000son \ufffd hand",
    "ﬁne ß Æ İstanbul ﷺ walk",
    "жж walk",
    "q walk qq",
    "walk " + "a" * 101,
    "1234 walk-hand 3.5",
    "e\u0301 walk\u0308s",
]


def test_ids_equal_those_of_transformers(vocab_file, tokenizer):
    transformers = pytest.importorskip("transformers")
    reference = transformers.BertTokenizer(str(vocab_file))
    expected = reference(ODD, padding=True, return_tensors="pt")
    ids, mask = tokenizer(ODD, 512)
    assert torch.equal(ids, expected["input_ids"])
    assert torch.equal(mask, expected["attention_mask"])


def test_ids_equal_the_recorded_ones(golden):
    for name in ("lamp_pretrain", "text_condition"):
        g = golden(name)
        tokenizer = TextTokenizer(g.folder.parent / "lamp_pretrain" / "vocab.txt")
        length = g.config.get("max_txt_len") or g.config["max_len"]
        ids, mask = tokenizer(g.config["texts"], length, pad_to_max=True, truncate=True)
        assert torch.equal(ids, g["input_ids"]) and torch.equal(mask, g["attention_mask"])
        assert tokenizer.dec_id == g.meta["dec_token_id"]


def test_padding(tokenizer):
    ids, mask = tokenizer(["person", "a person walks"], 9)
    assert ids.shape == mask.shape == (2, 6) and ids.dtype == mask.dtype == torch.int64
    assert mask.sum(1).tolist() == [3, 6] and (ids[mask == 0] == tokenizer.pad_id).all()
    padded, _ = tokenizer(["person", "a person walks"], 9, pad_to_max=True)
    assert torch.equal(padded[:, :6], ids) and padded.shape == (2, 9)


def test_decoding_gives_the_text_back(tokenizer):
    ids, _ = tokenizer(["a person walks", "hand"], 9)
    assert tokenizer.decode(ids[:, 1:]) == ["a person walks", "hand"]


def test_literal_special_pieces_are_plain_text(tokenizer):
    ids, _ = tokenizer(["walk [SEP] hand"], 20)
    assert (ids == tokenizer.end_id).sum() == 1


def test_undecodable_bytes_of_a_command_line(tokenizer):
    ids, _ = tokenizer([b"walk \xff hand".decode("utf-8", "surrogateescape")], 9)
    assert ids.shape == (1, 5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([""], "empty"),
        (["walk", " \n\t "], "empty"),
        (["walk " * 10_000], "10002 tokens, the model reads at most 49"),
        (["🙂🙂"], "no word"),
        (["жж"], "no word"),
        (["人走"], "no word"),
        (["!!!"], "no word"),
        (["人走 жж 🙂 !"], "no word"),
        ([], "list"),
        ("walk", "list"),
        ([None], "list"),
        ([b"walk"], "list"),
    ],
)
def test_bad_prompts_get_one_sentence(tokenizer, texts, message):
    with pytest.raises(LampError, match=message) as error:
        tokenizer(texts, 49)
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


def test_truncation_keeps_the_end_piece(tokenizer):
    ids, mask = tokenizer(["walk " * 100], 7, truncate=True)
    assert ids.shape == (1, 7) and ids[0, -1] == tokenizer.end_id and mask.all()


def test_dec_is_the_last_id(vocab_file, tokenizer):
    assert tokenizer.dec_id == len(read_vocabulary(vocab_file))
    vocab_file.write_text(vocab_file.read_text(encoding="utf-8") + "[DEC]\n", encoding="utf-8")
    assert TextTokenizer(vocab_file).dec_id == tokenizer.dec_id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[PAD]\n[UNK]\nwalk", r"lacks \[CLS\], \[SEP\]"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na", "twice"),
        (b"[PAD]\n[UNK]\n[CLS]\n[DEC]\n[SEP]", "last piece"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_bad_vocabularies(tmp_path, content, message):
    if content is not None:
        (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(LampError, match=message):
        TextTokenizer(tmp_path / "bad.txt")
