"""What a caption says, told by its words."""

import pytest


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
def test_told(benchmark_script, text, content, side):
    captions = benchmark_script("captions")
    assert captions.told(text, captions.CONTENTS) == content
    assert captions.told(text, captions.SIDES) == side
