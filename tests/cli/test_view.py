import json
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from lamp_fast.cli import view
from lamp_fast.cli.main import main
from lamp_fast.export import save
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.viewer.server import ViewerServer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One motion as .npz and .bvh: a T-pose that stands 40 frames."""
    joints = np.zeros((40, 22, 3), np.float32)
    for parent, joint in HUMANML3D.bones:
        length = np.linalg.norm(HUMANML3D.offsets[joint])
        joints[:, joint] = joints[:, parent] + length * np.array(HUMANML3D.t_pose[joint], np.float32)
    prompts = ["a person stands"] * 20 + ["a person waits"] * 20
    motion = Clip(joints + [0, 0.9, 0], HUMANML3D, 20.0, np.eye(40, 4, dtype=bool), prompts)
    folder = tmp_path_factory.mktemp("motions")
    for name in ("stand.npz", "stand.bvh"):
        save(motion, folder / name)
    return [str(folder / name) for name in ("stand.npz", "stand.bvh")]


def motions(path):
    (text,) = re.findall(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(text)["motions"]


def test_export(files, tmp_path, capsys):
    page = tmp_path / "new" / "page.html"
    assert main(["view", *files, "--export", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    ours, theirs = motions(page)
    assert (ours["name"], theirs["name"]) == ("stand.npz", "stand.bvh")
    assert ours["prompts"] == [[0, "a person stands"], [20, "a person waits"]]
    assert ours["contacts"] == [1, 2, 4, 8] + [0] * 36
    assert theirs["prompts"] == [[0, ""]]
    assert theirs["contacts"] == [15] * 40, "found again: it stands"
    assert ours["frames"] == theirs["frames"] == 40


def test_generate_writes_a_page(tiny_folder, tmp_path):
    page = tmp_path / "two.html"
    request = ["a person walks", "the person waves", "--seconds=1", "--output", str(page)]
    assert main(["generate", "--model", str(tiny_folder), "--device", "cpu", *request]) == 0
    assert [motion["prompts"] for motion in motions(page)] == [[[0, "a person walks"]], [[0, "the person waves"]]]


def nan_file(folder):
    np.savez(folder / "nan.npz", joints=np.full((5, 22, 3), np.nan))
    return str(folder / "nan.npz")


BAD = {
    "missing file": (lambda folder: ["no.bvh", "--export", "a.html"], "no.bvh is no file"),
    "unknown kind": (lambda folder: ["walk.mov"], "cannot tell what walk.mov is"),
    "FBX": (lambda folder: ["walk.fbx"], "export it as .glb or .bvh"),
    "NaN": (lambda folder: [nan_file(folder), "--export", "a.html"], "NaN or infinite joints"),
    "nothing to export": (lambda folder: ["--export", "a.html"], "give FILEs"),
    "not a page": (lambda folder: ["walk.bvh", "--export", "a.gif"], "does not end in .html"),
    "a folder": (lambda folder: ["walk.bvh", "--export", str(folder / "dir.html")], "it is a folder"),
    "port": (lambda folder: ["--port", "99999", "--no-browser"], "the port is 99999"),
    "model": (lambda folder: ["--port", "0", "--no-browser", "--model", "no-such-model"], "no-such-model"),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD)
def test_bad_input_gets_a_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir.html").mkdir()
    assert main(["view", *arguments(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "a.html").exists()


def test_a_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["view", "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
    assert "take another one, or 0 for a free one" in capsys.readouterr().err


def test_serving_ends_with_an_interrupt(files, monkeypatch, capsys):
    served = []

    def interrupted(self):
        served.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(ViewerServer, "serve_forever", interrupted)
    assert main(["view", files[1], "--no-browser", "--port", "0"]) == 0
    assert served[0].url in capsys.readouterr().out
    assert b'"live":true' in served[0].page
    assert threading.active_count() < 20


def test_names():
    def names(*files):
        return view._names([Path(file) for file in files])

    assert names("a/walk.bvh", "b/run.bvh") == ["walk", "run"]
    assert names("walk.bvh", "walk.npz") == ["walk.bvh", "walk.npz"]
    assert names("a/walk.bvh", "b/walk.bvh") == [str(Path("a/walk.bvh")), str(Path("b/walk.bvh"))]
