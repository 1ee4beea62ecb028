"""An index follows its folder: whatever happened in between, and wherever it was cut."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamp_fast import LampError, MotionRetriever
from lamp_fast.retrieval import update as update_module
from lamp_fast.retrieval.store import FILE


def clips(index):
    """Every window by its clip and start, with its embedding."""
    c = index.contents
    rows = zip(c.owners.tolist(), c.starts.tolist(), c.embeddings, strict=True)
    return {(c.clips[owner], start): embedding for owner, start, embedding in rows}


def check_same(a, b):
    assert a.keys() == b.keys()
    for key in a:  # clips that are encoded together are padded to one length: another order of sums
        np.testing.assert_allclose(a[key], b[key], atol=1e-5, err_msg=str(key))


def test_add_change_and_remove(retriever, write, tmp_path):
    index = tmp_path / "index"
    for name, number in (("a", 1), ("b", 2), ("c", 3)):
        write(name, number)
    update = retriever.update(tmp_path / "clips", index)
    assert (update.encoded, update.unchanged, update.removed, update.clips) == (3, 0, 0, 3)
    update = retriever.update(tmp_path / "clips", index)
    assert (update.encoded, update.unchanged, update.removed, update.clips) == (0, 3, 0, 3)
    write("a", 4), write("d", 5)
    (tmp_path / "clips/b.npz").unlink()
    os.utime(tmp_path / "clips/c.npz")  # touched, and the same inside
    update = retriever.update(tmp_path / "clips", index)
    assert (update.encoded, update.unchanged, update.removed, update.clips) == (2, 1, 1, 3)
    assert retriever.open(index).contents.clips == ["a.npz", "c.npz", "d.npz"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "sub/c", "d"]), st.integers(0, 3), min_size=1),
        min_size=1,
        max_size=4,
    )
)
def test_steps_lead_where_one_step_leads(retriever, joints, history):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        before = {}
        for now in history:
            for name in before.keys() - now.keys():
                (folder / f"clips/{name}.npz").unlink()
            for name, number in now.items():
                if before.get(name) != number:
                    path = folder / f"clips/{name}.npz"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    np.savez(path, joints=joints(number, 20 + 30 * number), fps=20)
            update = retriever.update(folder / "clips", folder / "steps")
            assert update.encoded == sum(before.get(name) != number for name, number in now.items())
            assert update.removed == len(before.keys() - now.keys())
            assert update.unchanged + update.encoded == update.clips == len(now)
            before = now
        retriever.update(folder / "clips", folder / "at-once")
        check_same(clips(retriever.open(folder / "steps")), clips(retriever.open(folder / "at-once")))


def test_cut_between_any_two_commits(retriever, write, tmp_path, monkeypatch):
    """Raise at the n-th commit, for every n: what is there opens, and the next update encodes only what was lost."""
    monkeypatch.setattr(update_module, "FRAMES_AT_ONCE", 1)
    for number in range(4):
        write(f"clip{number}", number)
    retriever.update(tmp_path / "clips", tmp_path / "whole")
    expected = clips(retriever.open(tmp_path / "whole"))
    write_clips = update_module.Store.put_clip
    for cut in range(4):
        index, calls = tmp_path / f"cut{cut}", []

        def put(self, *arguments, calls=calls, cut=cut):
            if len(calls) == cut:
                raise KeyboardInterrupt
            calls.append(arguments)
            write_clips(self, *arguments)

        monkeypatch.setattr(update_module.Store, "put_clip", put)
        with pytest.raises(KeyboardInterrupt):
            retriever.update(tmp_path / "clips", index)
        assert len(retriever.open(index)) == cut
        monkeypatch.setattr(update_module.Store, "put_clip", write_clips)
        assert retriever.update(tmp_path / "clips", index).encoded == 4 - cut
        check_same(clips(retriever.open(index)), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_in_the_middle_of_a_transaction(retriever, write, tmp_path):
    write("a", 1)
    index = tmp_path / "index"
    retriever.update(tmp_path / "clips", index)
    expected = clips(retriever.open(index))
    code = f"""
import os, sqlite3
db = sqlite3.connect({str(index / FILE)!r}, isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE windows SET embedding = zeroblob(100000)")
db.execute("DELETE FROM sources")
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    check_same(clips(retriever.open(index)), expected)
    assert retriever.update(tmp_path / "clips", index).unchanged == 1


def test_data_set_and_files_of_several_motions(retriever, joints, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    millimetres = {name: (1000 * joints(n)).astype(np.int16) for n, name in enumerate(["x", "y", "z"])}
    np.savez(folder / "all.npz", **millimetres)
    update = retriever.update(folder, tmp_path / "files")
    assert (update.clips, update.refused) == (3, [])
    assert retriever.open(tmp_path / "files").contents.clips == ["all.npz#x", "all.npz#y", "all.npz#z"]

    (folder / "splits.json").write_text('{"train": ["x", "y"], "test": ["z"]}')
    texts = [f'{{"id": "{name}", "texts": ["the person {verb}"]}}' for name, verb in
             (("x", "walks"), ("y", "walks"), ("z", "waves"))]  # fmt: skip
    (folder / "clips.jsonl").write_text("\n".join(texts))
    assert retriever.update(folder, tmp_path / "set").clips == 3
    both = (clips(retriever.open(tmp_path / name)) for name in ("files", "set"))
    check_same(*({(clip.split("#")[-1], start): e for (clip, start), e in found.items()} for found in both))
    update = retriever.update(folder, tmp_path / "set", split="test")
    assert (update.clips, update.removed) == (1, 2)
    assert retriever.open(tmp_path / "set").contents.texts == ["the person waves"]

    (folder / "clips.jsonl").write_text("\n".join(texts).replace("waves", "turns"))
    update = retriever.update(folder, tmp_path / "set", split="test")
    assert (update.encoded, update.unchanged) == (0, 1)  # other words, the same motion
    assert retriever.open(tmp_path / "set").contents.texts == ["the person turns"]
    with pytest.raises(LampError, match="has no split 'dev'"):
        retriever.update(folder, tmp_path / "set", split="dev")
    (folder / "clips.jsonl").unlink()
    assert "clips.jsonl" in retriever.update(folder, tmp_path / "set", split="test").refused[0]
    assert len(retriever.open(tmp_path / "set")) == 1


def test_what_cannot_be_read_is_named_and_stays_as_it_was(retriever, write, tmp_path):
    write("good", 1), write("turns-bad", 2), write("short", 3, frames=3)
    (tmp_path / "clips/bad.bvh").write_text("not a hierarchy")
    (tmp_path / "clips/notes.txt").write_text("not a motion")
    index = tmp_path / "index"
    update = retriever.update(tmp_path / "clips", index)
    assert update.clips == 2 and len(update.refused) == 2
    assert "bad.bvh" in update.refused[0] and "short.npz" in "".join(update.refused)
    (tmp_path / "clips/turns-bad.npz").write_bytes(b"damaged")
    update = retriever.update(tmp_path / "clips", index)
    assert (update.clips, update.removed, len(update.refused)) == (2, 0, 3)
    assert len(retriever.update(tmp_path / "clips", index).refused) == 3  # said again every time


def test_a_file_with_a_refused_motion_is_read_again(retriever, joints, tmp_path, monkeypatch):
    monkeypatch.setattr(update_module, "FRAMES_AT_ONCE", 1)  # the refused motion is done before the file is at its end
    (tmp_path / "clips").mkdir()
    np.savez(tmp_path / "clips/two.npz", a=joints(1, 4), b=joints(2))
    for _ in range(2):
        update = retriever.update(tmp_path / "clips", tmp_path / "index")
        assert update.clips == 1 and len(update.refused) == 1 and "two.npz#a" in update.refused[0]


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_names_that_are_no_utf_8_or_hold_a_line_end(retriever, write, tmp_path):
    folder = tmp_path / os.fsdecode(b"fol\xffder")
    write("a", 1)
    (tmp_path / "clips").rename(folder)
    (folder / "a.npz").rename(folder / os.fsdecode(b"b\xff\n.npz"))
    for done in ("encoded", "unchanged"):
        assert getattr(retriever.update(folder, tmp_path / "index"), done) == 1
    assert retriever.open(tmp_path / "index").contents.clips == [r"b\xff\x0a.npz"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered(retriever, write, tmp_path):
    write("a", 1)
    (tmp_path / "clips").chmod(0)
    try:
        with pytest.raises(LampError, match="holds no motion files"):
            retriever.update(tmp_path / "clips", tmp_path / "index")
    finally:
        (tmp_path / "clips").chmod(0o700)


def test_a_file_that_leaves_while_the_folder_is_listed(retriever, write, tmp_path, monkeypatch):
    write("stays", 1)
    listed = [tmp_path / "clips/leaves.npz", tmp_path / "clips/stays.npz"]
    monkeypatch.setattr("lamp_fast.retrieval.sources._files", lambda *_: iter(listed))
    update = retriever.update(tmp_path / "clips", tmp_path / "index")
    assert update.clips == 1 and len(update.refused) == 1 and "leaves.npz" in update.refused[0]


def test_refusals(retriever, lamp, write, tmp_path):
    write("a", 1)
    index, clips = tmp_path / "index", tmp_path / "clips"
    retriever.update(clips, index)
    with pytest.raises(LampError, match="is no folder"):
        retriever.update(tmp_path / "nowhere", index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LampError, match="holds no motion files"):
        retriever.update(tmp_path / "empty", tmp_path / "other")
    with pytest.raises(LampError, match="is no data set and has no split 'test'"):
        retriever.update(clips, index, split="test")
    with pytest.raises(LampError, match="the method is 'quick'"):
        retriever.update(clips, index, method="quick")
    shutil.copytree(clips, tmp_path / "others")
    with pytest.raises(LampError, match="is the index of .*clips; give another place"):
        retriever.update(tmp_path / "others", index)
    other = MotionRetriever(lamp, "other")
    other.about["model"] = "0123"
    for use in (lambda: other.open(index), lambda: other.update(clips, index)):
        with pytest.raises(LampError, match=r"was made with another model \(tiny, \w+\) than this one \(other, 0123\)"):
            use()
    with pytest.raises(LampError, match="holds no index; make one with: lamp-fast index"):
        retriever.open(tmp_path / "empty")


def test_a_moved_folder_keeps_its_index(retriever, write, tmp_path):
    write("a", 1)
    retriever.update(tmp_path / "clips", tmp_path / "index")
    (tmp_path / "clips").rename(tmp_path / "moved")
    assert retriever.update(tmp_path / "moved", tmp_path / "index").unchanged == 1


def test_an_index_inside_its_folder_is_not_read(retriever, write, tmp_path):
    write("a", 1)
    index = tmp_path / "clips/index"
    retriever.update(tmp_path / "clips", index)
    np.save(index / "stray.npy", np.zeros((9, 22, 3)))
    assert retriever.update(tmp_path / "clips", index).clips == 1


def test_damaged_and_foreign_indexes(retriever, write, tmp_path):
    write("a", 1)
    index = tmp_path / "index"
    retriever.update(tmp_path / "clips", index)
    with sqlite3.connect(index / FILE) as db:
        db.execute("UPDATE about SET value = '99' WHERE key = 'format'")
    db.close()
    with pytest.raises(LampError, match="format 99, this lamp_fast reads 1"):
        retriever.open(index)
    for damage in (b"", b"SQLite format 3\0" + bytes(200), b"text"):
        (index / FILE).write_bytes(damage)
        with pytest.raises(LampError):
            retriever.open(index)
    (index / FILE).write_bytes(b"")  # killed before the first commit
    assert retriever.update(tmp_path / "clips", index).encoded == 1


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_neighbours_follow_the_clips(retriever, write, tmp_path, method):
    pytest.importorskip("faiss", reason="faiss is not installed (the extra `search`)")
    for number in range(5):
        write(f"clip{number}", number)
    index = tmp_path / "index"
    retriever.update(tmp_path / "clips", index, method=method)
    write("clip5", 5)
    retriever.update(tmp_path / "clips", index, method=method)
    assert len(list(index.glob("*.faiss"))) == 1
    opened = retriever.open(index)
    assert type(opened._neighbours).__name__ == "Approximate"
    assert opened.nearest(opened.contents.embeddings[:1], 1).owners[0] == opened.contents.owners[0]
    next(index.glob("*.faiss")).unlink()  # as after a kill: exact instead
    assert type(retriever.open(index)._neighbours).__name__ == "Exact"
    retriever.update(tmp_path / "clips", index)
    assert not list(index.glob("*.faiss")) and retriever.open(index).method == "exact"
