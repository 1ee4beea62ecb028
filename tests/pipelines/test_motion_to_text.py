"""Motions in, words out: every kind of motion, cut where it is long, refused with a sentence."""

import json

import numpy as np
import pytest
import torch

from lamp_fast import LampError, LampPipeline, MotionCaptioner
from lamp_fast.cli.main import main


@pytest.fixture
def features():
    draw = np.random.default_rng(0)
    return [draw.normal(size=(frames, 263)).astype(np.float32) for frames in (40, 4, 49, 23)]


@pytest.fixture
def captioner(tiny_lamp):
    return MotionCaptioner(tiny_lamp)


def test_any_motion(tiny_folder, tmp_path):
    pipe = LampPipeline.from_pretrained(tiny_folder, device="cpu")
    motion = pipe("a person walks", seconds=2)
    expected = pipe.caption(motion)
    assert expected.text and str(expected) == expected.text and expected.num_frames == 40
    assert pipe.caption(motion.features) == pipe.caption(torch.from_numpy(motion.features)) == expected
    assert pipe.caption([motion, motion]) == [expected, expected]
    motion.save(tmp_path / "walk.bvh")
    assert isinstance(pipe.caption(tmp_path / "walk.bvh").text, str)


@pytest.mark.parametrize("options", [{}, {"num_beams": 1}, {"sample": True, "seed": 4}])
def test_alone_or_together(captioner, features, options):
    together = captioner(features, **options)
    for one, caption in zip(features, together, strict=True):
        alone = captioner(one, **options)
        assert alone.segments == caption.segments
        assert alone.score == pytest.approx(caption.score, abs=1e-5)  # rounding of another batch


def test_a_long_motion_is_cut_evenly(captioner, features):
    whole = np.concatenate([features[0], features[2], features[3]])  # 112 frames, 28 tokens; the model reads 12
    parts = [captioner(part, num_beams=2).text for part in (whole[:36], whole[36:72], whole[72:])]
    caption = captioner(whole, num_beams=2)
    new = [text for i, text in enumerate(parts) if i == 0 or text != parts[i - 1]]
    assert caption.text == ", then ".join(new)
    assert caption.segments[0].start == 0 and all(segment.start in (0, 36, 72) for segment in caption.segments)


@pytest.mark.parametrize(
    "motion, options, message",
    [
        (np.zeros((40, 251), np.float32), {}, r"the motion is \(40, 251\), expected .* \(frames, 263\)"),
        (np.zeros((3, 263), np.float32), {}, "3 frames, expected at least 4"),
        (np.full((8, 263), np.nan, np.float32), {}, "NaN or infinite"),
        (7, {}, "the motion is int"),
        ([], {}, "no motion to describe"),
        ("nowhere.bvh", {}, "nowhere.bvh is no file"),
        (np.zeros((8, 263), np.float32), {"num_beams": 0}, "num_beams is 0"),
        (np.zeros((8, 263), np.float32), {"beams": 3}, "no option beams; there are num_beams"),
        (np.zeros((8, 263), np.float32), {"sample": True, "seed": 2**65}, "seed"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(captioner, motion, options, message):
    with pytest.raises(LampError, match=message) as raised:
        captioner(motion, **options)
    assert "\n" not in str(raised.value)


def test_on_the_command_line(tiny_folder, tiny_lamp, tmp_path, capsys):
    pipe = LampPipeline(tiny_lamp)
    files = [tmp_path / name for name in ("a.bvh", "b.npz")]
    for seed, file in enumerate(files):
        pipe([("a person walks", 2), ("a person waves", 2)], seed=seed).save(file)
    words = ["caption", "--model", str(tiny_folder), "--device", "cpu", "--num-beams", "2"]
    expected = pipe.caption(files, num_beams=2)
    assert main([*words, str(files[0])]) == 0
    assert capsys.readouterr().out == f"{expected[0].text}\n"
    assert main([*words, *map(str, files), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == [caption.text for caption in expected]
    starts = [segment.start / 20 for segment in expected[1].segments]
    assert [segment["start"] for segment in records[1]["segments"]] == starts
    assert main([*words, str(tmp_path / "none.bvh")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("lamp-fast: ") and err.count("\n") == 1
