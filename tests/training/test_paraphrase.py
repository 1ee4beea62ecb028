"""Wordings keep the meaning: sides and styles stay, and everything is reproducible."""

import re

import pytest

from lamp_fast.training.paraphrase import paraphrases


@pytest.mark.parametrize("side, other", [("left", "right"), ("right", "left")])
def test_sides_stay(side, other):
    for text in (f"a person raises the {side} hand in an active way", f"a person walks forward and turns {side}"):
        wordings = paraphrases(text, 30)
        assert wordings[0] == text
        assert len(set(wordings)) == len(wordings) > 10
        assert all(side in w and other not in w for w in wordings)


def test_wordings_are_reproducible_and_limited():
    assert paraphrases("a person bows happily", 8) == paraphrases("a person bows happily", 8)
    assert len(paraphrases("a person bows happily", 8)) == 8
    assert paraphrases("swordplay", 8) == ["swordplay"]
    assert paraphrases("a person walks", 1) == ["a person walks"]


def test_short_labels_become_sentences_and_words_inside_words_stay():
    assert "a person jumps" in paraphrases("jump", 8)
    assert paraphrases("walkathon", 8) == ["walkathon"]
    assert not any(re.search("someone|somebody", w) for w in paraphrases("a personal best", 8))
