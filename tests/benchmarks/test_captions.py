"""What a caption says, told by its words."""

import pytest

from benchmarks.captions import CONTENTS, SIDES, told


@pytest.mark.parametrize(
    "text, content, side",
    [
        ("a person walks forward and turns left in a youthful way", "turn", "left"),
        ("someone strolls sideways to the right", "walk sideways", "right"),
        ("a person walks backward in a tired way", "walk backward", None),
        ("a person waves goodbye sadly", "goodbye", None),
        ("the man greets by waving both arms", "wave", "both"),
        ("a person puts up the left arm", "raise", "left"),
        ("a person runs forward", "run", None),
        ("swimming", None, None),
    ],
)
def test_told(text, content, side):
    assert told(text, CONTENTS) == content and told(text, SIDES) == side
