import math

import pytest

from lamp_fast import LampError
from lamp_fast.pipelines.request import Limits, SegmentRequest, parse, split_then

LIMITS = Limits(max_tokens=49, seconds_per_token=0.2)


@pytest.mark.parametrize(
    "prompt, parts",
    [
        ("a person walks", ["a person walks"]),
        ("a person walks, then waves", ["a person walks", "a person waves"]),
        ("A happy man walks then he sits and then gets up", ["A happy man walks", "he sits", "A happy man gets up"]),
        ("walk forward, then wave", ["walk forward", "wave"]),
        ("the person strengthens, then  rests", ["the person strengthens", "the person rests"]),
        (
            "a person walks forward in a happy way, then waves with the right hand",
            ["a person walks forward in a happy way", "a person waves with the right hand"],
        ),
    ],
)
def test_split_then(prompt, parts):
    assert split_then(prompt) == parts


def test_forms_of_a_request():
    one, two = SegmentRequest("walk"), SegmentRequest("sit")
    assert parse("walk", None, LIMITS) == ([[one]], False)
    assert parse(["walk", "sit"], None, LIMITS) == ([[one], [two]], True)
    assert parse([("walk", 2), ("sit", None)], None, LIMITS) == ([[SegmentRequest("walk", 10), two]], False)
    assert parse("walk, then sit", None, LIMITS)[0] == [[SegmentRequest("walk, then sit")]]
    assert parse("walk, then sit", None, LIMITS, split_on_then=True)[0] == [[one, two]]


@pytest.mark.parametrize("seconds, tokens", [(0.001, 1), (0.2, 1), (1, 5), (3.29, 16), (9.8, 49), (9.85, 49)])
def test_seconds_become_whole_tokens(seconds, tokens):
    assert parse("walk", seconds, LIMITS)[0] == [[SegmentRequest("walk", tokens)]]


def test_segments_share_the_seconds():
    segments = parse("walk, then sit, then rise", 10, LIMITS, split_on_then=True)[0][0]
    assert [s.num_tokens for s in segments] == [17, 17, 16]
    segments = parse("walk, then sit, then rise", 0.1, LIMITS, split_on_then=True)[0][0]
    assert [s.num_tokens for s in segments] == [1, 1, 1]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, -math.inf, 9.95, 1e300, "4", True])
def test_impossible_seconds(seconds):
    for prompt in ("walk", ["walk"], [("walk", seconds)]):
        with pytest.raises(LampError, match="seconds"):
            parse(prompt, seconds if prompt != [("walk", seconds)] else None, LIMITS)


def test_what_is_too_long_names_the_maximum_and_the_way_out():
    with pytest.raises(LampError, match=r"at most 9\.8 s; for a longer motion give a list of \(prompt, seconds\)"):
        parse("walk", 60, LIMITS)
    with pytest.raises(LampError, match="2 prompts give at most 19.6 s"):
        parse("walk, then sit", 20, LIMITS, split_on_then=True)


@pytest.mark.parametrize("prompt", [None, 7, [], ["walk", 3], [("walk",)], [("walk", 2), "sit"], [(3, 2)], {"a": 1}])
def test_what_is_no_prompt(prompt):
    with pytest.raises(LampError, match="expected"):
        parse(prompt, None, LIMITS)


def test_seconds_in_two_places():
    with pytest.raises(LampError, match="leave the other seconds out"):
        parse([("walk", 2)], 4, LIMITS)
