"""Models of the Hugging Face Hub, with a folder on disk in the place of its servers."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lamp_fast import LampError, LampPipeline
from lamp_fast.checkpoints.captioner import load_captioner
from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.checkpoints.hub import push_to_hub
from lamp_fast.cli.main import main

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """owner/name -> a folder below tmp_path / "server"; what was asked of it."""
    root, calls = tmp_path / "server", []

    def chosen(folder, allow, ignore=()):
        files = (file.relative_to(folder) for file in Path(folder).rglob("*") if file.is_file())
        names = [str(file) for file in files if any(fnmatch(str(file), p) for p in allow)]
        return [name for name in names if not any(fnmatch(name, p) for p in ignore)]

    def copy(source, target, names):
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)

    def snapshot_download(name, revision=None, allow_patterns=None):
        calls.append(("get", name, revision))
        if not (root / name).is_dir():
            raise hub.errors.LocalEntryNotFoundError(f"nothing is called {name}\nand so on")
        copy(root / name, tmp_path / "cache" / name, chosen(root / name, allow_patterns))
        return str(tmp_path / "cache" / name)

    class Api:
        endpoint = "https://hub"

        def create_repo(self, repo_id, private, exist_ok):
            calls.append(("make", repo_id, private))
            if repo_id.startswith("others/"):
                raise PermissionError("403 Forbidden: not yours")

        def upload_folder(self, folder_path, repo_id, commit_message, allow_patterns, ignore_patterns):
            copy(folder_path, root / repo_id, chosen(folder_path, allow_patterns, ignore_patterns))

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub, "HfApi", Api)
    return root, calls


def test_there_and_back(server, tiny_folder, tmp_path, capsys):
    root, calls = server
    folder = shutil.copytree(tiny_folder, tmp_path / "mine")
    (folder / "LICENSE").write_text("as you like")
    for unwanted in ("generator/state.safetensors", "generator/metrics.jsonl", "notes.pickle", "code.py"):
        (folder / unwanted).touch()
    assert main(["push", str(folder), "me/tiny", "--private"]) == 0
    assert capsys.readouterr().out == "https://hub/me/tiny\n"
    assert ("make", "me/tiny", True) in calls
    sent = {str(file.relative_to(root / "me/tiny")) for file in (root / "me/tiny").rglob("*") if file.is_file()}
    assert {"README.md", "LICENSE", "config.json", "vocab.txt", "generator/model.safetensors"} <= sent
    assert not sent & {"generator/state.safetensors", "generator/metrics.jsonl", "notes.pickle", "code.py"}

    motion = LampPipeline.from_pretrained("me/tiny", device="cpu")("a person walks", seconds=1, seed=3)
    own = LampPipeline.from_pretrained(folder, device="cpu")("a person walks", seconds=1, seed=3)
    assert (motion.joints == own.joints).all()
    load_lamp("me/tiny@v1.0")
    assert calls[-1] == ("get", "me/tiny", "v1.0")


def test_a_card_is_made_for_every_model(tiny_folder):
    card = (tiny_folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: lamp-fast\n") and "text-to-motion" in card
    assert "LampPipeline.from_pretrained" in card


def test_a_folder_comes_before_the_hub(server, tiny_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_folder, tmp_path / "me" / "tiny")
    monkeypatch.chdir(tmp_path)
    load_lamp("me/tiny")
    assert server[1] == []


@pytest.mark.parametrize("load", [load_lamp, load_captioner])
def test_what_is_nowhere(server, load):
    with pytest.raises(LampError, match=r"no folder 'me/nothing', and the Hugging Face Hub gave no model .*nothing is"):
        load("me/nothing")


def test_names_that_are_none_are_not_asked_for(server, tiny_folder):
    for name in ("nothing", "a/b/c", "../tiny", "./tiny", "/tiny"):
        with pytest.raises(LampError, match="there is no model"):
            load_lamp(name)
    assert server[1] == []
    for name in ("nothing", "a/b/c", "me/tiny@v1"):
        with pytest.raises(LampError, match="give it as owner/name"):
            push_to_hub(tiny_folder, name)


def test_what_cannot_be_sent(server, tiny_folder, tmp_path):
    with pytest.raises(LampError, match="is not a model folder"):
        push_to_hub(tmp_path, "me/tiny")
    with pytest.raises(LampError, match="others/tiny cannot be written .403 Forbidden: not yours.; log in"):
        push_to_hub(tiny_folder, "others/tiny")


def test_without_huggingface_hub(tiny_folder, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(LampError, match=r"pip install 'lamp-fast\[hub\]'"):
        load_lamp("me/tiny")
    assert main(["push", str(tiny_folder), "me/tiny"]) == 2
    assert "pip install 'lamp-fast[hub]'" in capsys.readouterr().err
    load_lamp(tiny_folder)  # folders need no hub
