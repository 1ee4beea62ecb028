"""Words one after another, against brute force and against the model read as a whole."""

import itertools

import pytest
import torch

from lamp_fast import LampError
from lamp_fast.models.captioning import CaptionOptions, LampWriter, write_captions

GREEDY, SAMPLED = CaptionOptions(num_beams=1), CaptionOptions(sample=True, top_p=1.0)
LENGTHS = torch.tensor([12, 7, 1, 5])


class Table:
    """A model whose next word depends on the last one alone: scores (B,V,V), and (B,V) for the first."""

    end_id, never = 0, None

    def __init__(self, first, following, max_words):
        self.first, self.following, self.max_words = first, following, max_words

    def read(self, latents, lengths):
        return self

    def start(self, width):
        self.sample = torch.arange(len(self.first)).repeat_interleave(width)
        return self.first

    def step(self, words, rows=None):
        return self.following[self.sample, words]


@pytest.fixture
def model(tiny_lamp):
    """Larger weights than at initialisation, so that the next word depends on the motion."""
    import copy

    model = copy.deepcopy(tiny_lamp.language_motion)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return model


@pytest.fixture
def writer(model, tiny_lamp):
    return LampWriter(model, tiny_lamp.text_tokenizer)


@pytest.fixture
def latents():
    return torch.randn(4, 12, 16, generator=torch.Generator().manual_seed(1))


def whole_text_scores(model, latents, lengths, ids):
    """Log-probabilities (B,L,V) of every next word, the text read at once."""
    _, queries = model.query_memory(model.motion_projection(latents), lengths)
    given = torch.cat([torch.full((len(ids), 1), model.dec_id), ids[:, :-1]], 1)
    return model.word_logits(given, torch.ones_like(given), queries).log_softmax(-1)


def test_the_likeliest_words_and_then_the_end(model, writer, latents):
    ids, scores = write_captions(writer, latents, LENGTHS, GREEDY)
    log_probs = whole_text_scores(model, latents, LENGTHS, ids).masked_fill(writer.never, -torch.inf)
    log_probs[:, 0, writer.end_id] = -torch.inf
    ended = (ids == writer.end_id).cumsum(1) - (ids == writer.end_id).long() > 0
    assert torch.equal(ids, log_probs.argmax(-1).masked_fill(ended, writer.end_id))
    said = log_probs.gather(2, ids[..., None])[..., 0].masked_fill(ended, 0).sum(1) / (~ended).sum(1)
    torch.testing.assert_close(scores, said, atol=1e-5, rtol=0)  # rounding: one word at a time or all at once


@pytest.mark.parametrize("options", [GREEDY, SAMPLED, CaptionOptions(num_beams=4)], ids=["greedy", "sample", "beam"])
def test_a_text_does_not_depend_on_its_batch_mates(writer, latents, options):
    together, scores = write_captions(writer, latents, LENGTHS, options, seed=3)
    for i, length in enumerate(LENGTHS.tolist()):
        alone, score = write_captions(
            writer, latents[i : i + 1, :length], LENGTHS[i : i + 1], options, seed=3, samples=torch.tensor([i])
        )
        width = alone.shape[1]
        assert torch.equal(alone[0], together[i, :width]) and (together[i, width:] == writer.end_id).all()
        torch.testing.assert_close(score, scores[i : i + 1], atol=1e-5, rtol=0)
    assert not writer.never[together].any() and (together[:, 0] != writer.end_id).all()


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_enough_beams_find_the_best_text_of_all(power):
    vocabulary, longest = 5, 3
    draw = torch.Generator().manual_seed(0)
    first, following = (
        torch.randn(6, vocabulary, generator=draw),
        torch.randn(6, vocabulary, vocabulary, generator=draw),
    )
    options = CaptionOptions(num_beams=16, length_penalty=power)
    # Sixteen beams are more than half of five words; unlikely words make room and change nothing.
    padding = torch.full((6, 27), -50.0)
    wide_first = torch.cat([first, padding], 1)
    wide = torch.cat([torch.nn.functional.pad(following, (0, 0, 0, 27)), padding[:, None].expand(-1, 32, -1)], 2)
    ids, scores = write_captions(Table(wide_first, wide, longest), None, None, options)

    first, following = wide_first.log_softmax(-1), wide.log_softmax(-1)
    for sample in range(6):
        found = {}
        for length in range(1, longest + 1):
            for text in itertools.product(range(1, vocabulary), repeat=length):
                total = first[sample, text[0]] + sum(following[sample, a, b] for a, b in itertools.pairwise(text))
                if length < longest:
                    found[(*text, 0)] = (total + following[sample, text[-1], 0]) / (length + 1) ** power
                else:
                    found[text] = total / length**power
        best = max(found, key=found.get)
        text = tuple(ids[sample].tolist())
        text = text[: text.index(0) + 1] if 0 in text else text
        assert scores[sample].item() == pytest.approx(found[text].item(), abs=1e-5)
        # Where length counts, the search may stop before a longer text that would have been better.
        assert text == best or (power > 0 and len(text) < len(best))


def test_samples_follow_the_probabilities():
    many = 4000
    first = torch.tensor([[-9.0, 1.0, 0.0, -1.0]]).expand(many, -1)
    following = torch.tensor([9.0, 0.0, 0.0, 0.0]).expand(many, 4, -1)
    expected = torch.tensor([1.0, 0.0, -1.0]).softmax(-1)
    for temperature in (1.0, 0.5):
        options = CaptionOptions(sample=True, temperature=temperature, top_p=1.0)
        ids, _ = write_captions(Table(first, following, 2), None, None, options, seed=5)
        shares = torch.bincount(ids[:, 0], minlength=4)[1:] / many
        expected = (torch.tensor([1.0, 0.0, -1.0]) / temperature).softmax(-1)
        assert (shares - expected).abs().max() < 0.03  # three deviations of 4,000 draws are 0.023
    narrow, _ = write_captions(Table(first, following, 2), None, None, CaptionOptions(sample=True, top_p=0.7))
    assert set(narrow[:, 0].tolist()) == {1, 2}  # 0.67 is not yet 0.7
    other, _ = write_captions(Table(first, following, 2), None, None, SAMPLED, seed=6)
    assert not torch.equal(other[:, 0], write_captions(Table(first, following, 2), None, None, SAMPLED)[0][:, 0])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_beams": 0}, "num_beams is 0"),
        ({"num_beams": 2.5}, "num_beams is 2.5"),
        ({"num_beams": True}, "num_beams is True"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_p": "much"}, "top_p is 'much'"),
        ({"length_penalty": float("inf")}, "length_penalty is inf"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(LampError, match=message):
        CaptionOptions(**options)


def test_more_beams_than_words(writer, latents):
    with pytest.raises(LampError, match="num_beams is 20, expected at most"):
        write_captions(writer, latents, LENGTHS, CaptionOptions(num_beams=20))
