"""Other wordings of a text: captured data labels hundreds of clips with the same few sentences."""

from __future__ import annotations

import random
import re

# Phrases that may stand for each other in a description of a movement. The first group that matches a phrase counts.
_GROUPS = (
    ("a person", "a man", "a woman", "someone", "the person", "somebody", "a character", "the man", "she", "he"),
    ("walks", "is walking", "strolls", "takes a walk"),
    ("runs", "is running", "jogs", "is jogging"),
    ("dashes", "sprints", "is dashing"),
    ("raises", "lifts", "is raising", "puts up", "lifts up"),
    ("waves with", "is waving with", "waves using", "greets by waving"),
    ("waves goodbye", "says goodbye by waving", "is waving goodbye"),
    ("turns", "is turning", "then turns"),
    ("bows", "is bowing", "takes a bow", "bends forward to bow"),
    ("punches", "throws a punch", "is punching"),
    ("kicks", "is kicking", "gives a kick"),
    ("the right hand", "the right arm", "his right hand", "her right hand", "their right arm"),
    ("the left hand", "the left arm", "his left hand", "her left hand", "their left arm"),
    ("both hands", "both arms", "the two hands", "his hands", "her arms"),
    ("forward", "forwards", "ahead", "straight ahead"),
    ("backward", "backwards", "back"),
    ("in an active way", "actively", "energetically", "with energy", "in a lively way"),
    ("in an exhausted way", "in a tired way", "tiredly", "while exhausted", "wearily"),
    ("in a masculine way", "like a man", "manly"),
    ("in a feminine way", "like a woman", "gracefully"),
    ("in a youthful way", "like a young person", "youthfully"),
    ("like an elderly person", "like an old person", "like an old man", "slowly as an elderly person"),
    ("happily", "in a happy way", "joyfully", "cheerfully", "while being happy"),
    ("sadly", "in a sad way", "while being sad", "unhappily"),
    ("angrily", "in an angry way", "with anger"),
    ("proudly", "in a proud way", "with pride"),
    ("in a childish way", "like a child", "childishly"),
    ("without confidence", "shyly", "insecurely", "in an insecure way"),
    ("in a musical way", "rhythmically", "in a dancing way"),
    ("jump", "a person jumps", "jumps", "jumping"),
    ("walk", "a person walks", "walking"),
    ("run", "a person runs", "running"),
    ("run/jog", "a person jogs", "jogging"),
)  # fmt: skip
_WHOLE_TEXTS = {"jump", "walk", "run", "run/jog"}


def paraphrases(text: str, count: int) -> list[str]:
    """At most `count` distinct wordings, the text itself first; the same text always gets the same ones."""
    draw = random.Random(text)
    wordings = {text: None}
    for _ in range(4 * count):
        if len(wordings) == count:
            break
        wordings[_reword(text, draw)] = None
    return list(wordings)


def _reword(text: str, draw: random.Random) -> str:
    for phrase, *others in _GROUPS:
        if phrase in _WHOLE_TEXTS:
            if text.lower() == phrase:
                return draw.choice([phrase, *others])
        else:
            text = re.sub(rf"\b{re.escape(phrase)}\b", lambda _, o=(phrase, *others): draw.choice(o), text)
    return text
