import os

import pytest

from lamp_fast import LampError
from lamp_fast.files import check_writable, new_file, new_folder


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_appears_whole(kind, tmp_path):
    target = tmp_path / "deep" / "name"
    with (new_file if kind == "file" else new_folder)(target) as partial:
        (partial if kind == "file" else partial / "inner").write_text("new")
        assert not target.exists()
    assert (target if kind == "file" else target / "inner").read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["name"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_failure_leaves_the_old_one(kind, tmp_path):
    target = tmp_path / "name"
    inner = target if kind == "file" else target / "inner"
    inner.parent.mkdir(exist_ok=True)
    inner.write_text("old")
    with pytest.raises(RuntimeError), (new_file if kind == "file" else new_folder)(target) as partial:
        (partial if kind == "file" else partial / "inner").write_text("half")
        raise RuntimeError
    assert inner.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["name"]


def test_a_folder_replaces_the_old_one(tmp_path):
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "stale").touch()
    with new_folder(tmp_path / "name") as partial:
        (partial / "fresh").touch()
    assert [p.name for p in (tmp_path / "name").iterdir()] == ["fresh"]
    assert [p.name for p in tmp_path.iterdir()] == ["name"]


def test_what_cannot_be_written_is_told_before(tmp_path):
    (tmp_path / "file").touch()
    for target in (tmp_path / "file" / "inside", tmp_path):
        with pytest.raises(LampError, match="cannot write"):
            check_writable(target)
    with pytest.raises(LampError, match="cannot write"), new_file(tmp_path / "file" / "inside"):
        pass
    with pytest.raises(LampError, match="cannot write"), new_folder(tmp_path / "file" / "inside"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("make", [new_file, new_folder])
def test_what_is_written_can_be_read_by_others(make, tmp_path):
    with make(tmp_path / "name") as partial:
        inner = partial if make is new_file else partial / "inner"
        inner.touch(0o600)  # as safetensors
    (tmp_path / "as-ever").touch()
    inner = tmp_path / "name" if make is new_file else tmp_path / "name/inner"
    assert inner.stat().st_mode == (tmp_path / "as-ever").stat().st_mode


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "t2m.tar").write_text("weights")
    with pytest.raises(LampError, match="t2m.tar: it is a file"), new_folder(tmp_path / "t2m.tar"):
        pass
    assert (tmp_path / "t2m.tar").read_text() == "weights"
