"""A folder of motion files becomes a data set: what is read, skipped, said, split, and taken up again."""

import json
import os
import re

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.cli.main import main
from lamp_fast.data import normalisation, open_dataset, prepare
from lamp_fast.data.jobs import run_jobs
from lamp_fast.data.labels import NO_WORDS, make_splits, read_texts, words_of
from lamp_fast.data.preparation import Reading, Report
from lamp_fast.motion.skeleton import HUMANML3D


def walk(frames, seed):
    """(T, 22, 3): a standing figure that sways and drifts."""
    random = np.random.default_rng(seed)
    pose = np.zeros((22, 3))
    for parent, joint in HUMANML3D.bones:
        pose[joint] = pose[parent] + np.asarray(HUMANML3D.offsets[joint])
    sway = np.sin(np.linspace(0, 6, frames)[:, None, None] + random.normal(size=(22, 3))) * 0.02
    return pose + sway + np.linspace([0, 1, 0], [0.5, 1, 1], frames)[:, None]


@pytest.fixture
def source(tmp_path):
    """Six motions in three kinds of files, and four files that hold none."""
    folder = tmp_path / "captures"
    (folder / "gym" / "monday").mkdir(parents=True)
    np.save(folder / "JumpHigh_01.npy", walk(50, 0))
    np.savez(folder / "gym" / "run_fast.npz", joints=walk(60, 1), fps=30.0)
    np.save(folder / "gym" / "monday" / "05_10.npy", walk(40, 2).astype(np.float32))
    millimetres = {f"clip/{i}": (walk(30 + i, 3 + i) * 1000).astype(np.int16) for i in range(3)}
    np.savez(folder / "many.npz", **millimetres)
    (folder / "gym" / "run_fast.txt").write_text("a man runs  fast#a/DET#0.0#0.0\n\na man runs fast\nhe hurries\n")
    (folder / "broken.bvh").write_text("HIERARCHY\nROOT")
    (folder / "gym" / "empty.npz").write_bytes(b"")
    np.save(folder / "still.npy", walk(1, 9))
    np.save(folder / "JumpHigh_01.npz.npy", np.zeros((3, 3)))
    (folder / "notes.docx").write_text("not a motion")
    return folder


IDS = ["JumpHigh_01", "clip_0", "clip_1", "clip_2", "gym/monday/05_10", "gym/run_fast"]


def snapshot(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_folder_becomes_a_data_set(source, tmp_path):
    report = prepare(source, tmp_path / "data", workers=1)
    assert (report.clips, report.kept) == (6, 0) and report.seconds == pytest.approx((50 + 40 + 40 + 93) / 20)
    assert {os.path.basename(file): reason for file, reason in report.skipped}.keys() == {
        "broken.bvh", "empty.npz", "still.npy", "JumpHigh_01.npz.npy",
    }  # fmt: skip
    assert all("\n" not in reason and ("expected" in reason or "has" in reason) for _, reason in report.skipped)

    records = {r["id"]: r for r in map(json.loads, (tmp_path / "data" / "clips.jsonl").read_text().splitlines())}
    assert sorted(records) == IDS
    assert records["gym/run_fast"]["texts"] == ["a man runs fast", "he hurries"]
    assert records["gym/run_fast"]["frames"] == 40 and records["gym/run_fast"]["source"] == "gym/run_fast.npz"
    assert records["JumpHigh_01"]["texts"] == ["jump high"] and records["gym/monday/05_10"]["texts"] == [NO_WORDS]
    assert report.words == {"file beside": 1, "name": 5}

    sets = {split: open_dataset(tmp_path / "data", split) for split in ("train", "val", "test")}
    assert sorted(clip.id for data in sets.values() for clip in data.clips) == IDS
    assert [len(data) for data in sets.values()] == [4, 1, 1]
    stored = np.load(tmp_path / "data" / "joints" / "gym" / "monday" / "05_10.npy")
    expected = walk(40, 2) - walk(40, 2)[0, 0] * [1, 0, 1]
    assert stored.dtype == np.float32
    np.testing.assert_allclose(stored, expected, atol=1e-5)


def test_statistics_are_those_of_the_training_clips_and_their_mirror_images(source, tmp_path):
    prepare(source, tmp_path / "data", workers=1)
    shipped = open_dataset(tmp_path / "data", "train", mirror=True)
    (tmp_path / "data" / "Mean.npy").rename(tmp_path / "Mean.npy")
    computed = open_dataset(tmp_path / "data", "train", mirror=True)
    assert shipped.statistics is not None and computed.statistics is None
    for one, other in zip(normalisation(shipped), normalisation(computed)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_second_run_reads_only_what_changed(source, tmp_path, monkeypatch):
    prepare(source, tmp_path / "data", workers=1)
    before = snapshot(tmp_path / "data" / "joints")
    np.save(source / "JumpHigh_01.npy", walk(55, 20))
    read = []

    def remembering(function, jobs, *rest, **options):
        read.extend(jobs)
        return run_jobs(function, jobs, *rest, **options)

    monkeypatch.setattr("lamp_fast.data.preparation.run_jobs", remembering)
    report = prepare(source, tmp_path / "data", workers=1)
    assert (report.clips, report.kept) == (6, 5)
    # What failed is tried again: its cause may be gone.
    assert [job.id for job in read if not isinstance(job, list)] == [
        "JumpHigh_01",
        "JumpHigh_01.npz",
        "broken",
        "still",
    ]
    after = snapshot(tmp_path / "data" / "joints")
    assert [str(name) for name in after if after[name] != before[name]] == ["JumpHigh_01.npy"]


def test_a_run_that_was_cut_ends_with_the_same_files(source, tmp_path, monkeypatch):
    prepare(source, tmp_path / "whole", workers=1)

    def cut(function, jobs, *rest, **options):
        for number, result in enumerate(run_jobs(function, jobs, *rest, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("lamp_fast.data.preparation.run_jobs", cut)
        prepare(source, tmp_path / "cut", workers=1)
    assert not (tmp_path / "cut" / "splits.json").exists()
    assert prepare(source, tmp_path / "cut", workers=1).kept > 0
    one, other = snapshot(tmp_path / "whole"), snapshot(tmp_path / "cut")
    assert one.keys() == other.keys()
    assert [str(name) for name in one if one[name] != other[name]] == ["report.json"]  # tells what was kept


def test_several_processes_do_the_same(source, tmp_path):
    for i in range(8):
        np.save(source / f"more_{i}.npy", walk(25, 30 + i))
    prepare(source, tmp_path / "one", workers=1)
    prepare(source, tmp_path / "two", workers=2)
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_texts_and_splits_from_tables(source, tmp_path):
    (tmp_path / "texts.csv").write_text("id,text\nJumpHigh_01,a person jumps\nJumpHigh_01, up \n05_10,a person sways\n")
    splits = {"train": IDS[:2], "val": IDS[2:3], "held_out": [*IDS[3:], "gone"]}
    (tmp_path / "splits.json").write_text(json.dumps(splits))
    prepare(source, tmp_path / "data", texts=tmp_path / "texts.csv", splits=tmp_path / "splits.json", workers=1)
    train = open_dataset(tmp_path / "data", "train")
    assert {clip.id: clip.texts for clip in train.clips}["JumpHigh_01"] == ("a person jumps", "up")
    assert [clip.id for clip in open_dataset(tmp_path / "data", "held_out").clips] == IDS[3:]
    assert open_dataset(tmp_path / "data", "held_out").clips[1].texts == ("a person sways",)


def test_other_settings_need_another_folder(source, tmp_path):
    prepare(source, tmp_path / "data", workers=1)
    with pytest.raises(LampError, match="begun with other settings"):
        prepare(source, tmp_path / "data", Reading(fps=10), workers=1)


TABLES = {
    "cut.jsonl": '{"id": "a", "texts": ["b"',
    "list.jsonl": "[1, 2]",
    "numbers.jsonl": '{"id": "a", "texts": 3}',
    "columns.csv": "name,words\na,b",
    "binary.csv": "id,text\na,\x00",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_none(tmp_path, name):
    (tmp_path / name).write_text(TABLES[name])
    try:
        assert read_texts(tmp_path / name) in ({}, {"a": ["\x00"]})
    except LampError as error:
        assert "no table of texts" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing", "data"], "nothing is no folder"),
        (["captures", "captures"], "choose|another destination"),
        (["words", "data"], "holds no motion"),
        (["captures", "data", "--texts", "missing.csv"], "cannot read missing.csv"),
        (["captures", "data", "--splits", "missing.json"], "cannot read missing.json"),
        (["captures", "data", "--splits", "captures/broken.bvh"], "no table of splits"),
        (["captures", "data", "--map", "missing.json"], "cannot read the mapping"),
        (["captures", "data", "--index", "missing.csv"], "name the folder of SMPL-H"),
    ],
)
def test_what_cannot_be_prepared_gets_a_sentence(source, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    assert main(["data", "prepare", *arguments, "--workers", "1"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(message, lines[0])


def test_the_command_says_what_it_did(source, tmp_path, capsys):
    assert main(["data", "prepare", str(source), str(tmp_path / "data"), "--workers", "1"]) == 0
    output = capsys.readouterr().out
    assert "6 clips" in output and "5 clips are described by their file names only" in output
    assert "4 files were skipped" in output and "broken.bvh" in output


def test_splits_are_a_function_of_the_names():
    ids = [f"clip {i}" for i in range(100)]
    splits = make_splits(ids)
    assert [len(splits[name]) for name in ("train", "val", "test")] == [85, 5, 10]
    assert splits == make_splits(ids[::-1]) and sorted(sum(splits.values(), [])) == sorted(ids)
    assert [len(part) for part in make_splits(["a", "b", "c"]).values()] == [1, 1, 1]
    with pytest.raises(LampError, match="too few"):
        make_splits(["a", "b"])


@pytest.mark.parametrize(
    "name, words",
    [("walk1_subject5", "walk subject"), ("a/b/RaiseBothHands_003", "raise both hands"), ("05_10", NO_WORDS)],
)
def test_words_of_a_name(name, words):
    assert words_of(name) == words


def test_raw_files_become_a_data_set(shared_data, tmp_path):
    report = prepare(shared_data / "raw", tmp_path, workers=1)
    assert isinstance(report, Report) and report.clips == 30 and not report.skipped
