"""Tagged words as the evaluator of Guo et al. reads them (released `utils/word_vectorizer.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..data import Caption
from ..errors import LampError

# The order is that of the evaluator's input.
PARTS_OF_SPEECH = ("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV")
TOPICS = {
    "place": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "body": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "object": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "act": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise wash "
    "stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "manner": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
OTHER = len(PARTS_OF_SPEECH) + len(TOPICS)
_CATEGORIES = {part: i for i, part in enumerate(PARTS_OF_SPEECH)}
_TOPIC_OF = {word: len(PARTS_OF_SPEECH) + i for i, words in enumerate(TOPICS.values()) for word in words.split()}
START, END, UNKNOWN = "sos", "eos", "unk"


def tagged_words(caption: Caption, rows: Mapping[str, int], max_words: int) -> tuple[list[int], list[int]]:
    """Rows of the word vectors, and categories, of the first `max_words` words between the marks of start and end.

    A word of a topic takes that as its category, an unknown one the last. Raises LampError for a caption without tags.
    """
    if not caption.tagged:
        raise LampError(
            f"the caption {caption.text!r} has no tagged words, which the evaluator of Guo et al. reads; "
            "use HumanML3D or KIT-ML, or another evaluator"
        )
    read = [(START, OTHER)]
    for tagged in caption.tagged[:max_words]:
        word, _, part = tagged.rpartition("/")
        known = word in rows
        category = _TOPIC_OF.get(word, _CATEGORIES.get(part, OTHER)) if known else OTHER
        read.append((word if known else UNKNOWN, category))
    read.append((END, OTHER))
    return [rows.get(word, rows[UNKNOWN]) for word, _ in read], [category for _, category in read]


def tag(text: str) -> tuple[str, ...]:
    """Words with their parts of speech, as HumanML3D tags its texts (its `text_process.py`): letters only, and of nouns
    and verbs the base form, but for "left". Raises LampError where spaCy or its English model is missing.
    """
    tagged = []
    for token in _tagger()(text.replace("-", "")):
        if token.text.isalpha():
            base = token.pos_ in ("NOUN", "VERB") and token.text != "left"
            tagged.append(f"{token.lemma_ if base else token.text}/{token.pos_}")
    return tuple(tagged)


@cache
def _tagger() -> Any:
    try:
        import spacy

        return spacy.load("en_core_web_sm", disable=["ner", "parser"])
    except (ImportError, OSError) as error:
        raise LampError(
            "the evaluator of Guo et al. reads words with their parts of speech, which captions that were made do not "
            "have; to tag them: pip install spacy && python -m spacy download en_core_web_sm"
        ) from error
