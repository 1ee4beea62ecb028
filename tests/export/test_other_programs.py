"""Our files in other people's programs: the Khronos validator and three.js, in Node.js and in headless Chromium.

They are fetched by `npm install --prefix tests/browser`; the tests skip where they are not there.
"""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamp_fast.export import save
from lamp_fast.export.retarget import save_retargeted
from lamp_fast.export.target import read_target
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.features import uniform_skeleton
from lamp_fast.motion.skeleton import HUMANML3D

BROWSER = Path(__file__).resolve().parents[1] / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PICTURES = os.environ.get("LAMP_FAST_PICTURES")


@pytest.fixture(autouse=True)
def packages():
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    if not (BROWSER / "node_modules").is_dir():
        pytest.skip("three.js and gltf-validator are absent: npm install --prefix tests/browser")


def node(script, *arguments):
    command = ["node", BROWSER / script, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def captured(shared_data, name):
    source = "cmu" if name.startswith("cmu") else "bandai_namco"
    with np.load(shared_data / f"{source}_20fps_22j_mm_i16.npz") as clips:
        joints = uniform_skeleton(clips[name][:100].astype(np.float32) / 1000, HUMANML3D)
    return Clip(joints, HUMANML3D, 20.0, np.zeros((len(joints), 4), bool), [name] * len(joints))


CLIPS = ("cmu_127_23", "cmu_005_06", "bn_2_walk-turn-left_feminine_011")


def test_khronos_validator(shared_data, tmp_path):
    files = []
    for name in CLIPS:
        for fps in (20, 24, 30, 60):
            files.append(tmp_path / f"{name}-{fps}.glb")
            save(captured(shared_data, name), files[-1], fps=fps, root_joint=fps == 60)
    files.append(tmp_path / "retargeted.glb")
    save_retargeted(captured(shared_data, CLIPS[0]), files[-1], read_target(files[0]))
    for file, issues in zip(files, node("validate.js", *files), strict=True):
        assert issues["numErrors"] == issues["numWarnings"] == 0, (file.name, issues["messages"])


@pytest.mark.parametrize("root_joint", [False, True], ids=["", "root-joint"])
@pytest.mark.parametrize("suffix", [".glb", ".bvh"])
@pytest.mark.parametrize("name", CLIPS)
def test_three_js_plays_the_same_joints(shared_data, name, suffix, root_joint, tmp_path):
    clip = captured(shared_data, name)
    save(clip, tmp_path / f"m{suffix}", root_joint=root_joint)
    (played,) = node("positions.js", tmp_path / f"m{suffix}", len(clip), 20)
    ours = [played["names"].index(joint) for joint in HUMANML3D.joint_names]
    joints = np.array(played["frames"])[:, ours] / (100 if suffix == ".bvh" else 1)
    # Metres. Three.js interpolates at the nearest float32 to each frame's time.
    assert np.linalg.norm(joints - clip.joints, axis=-1).max() < 1e-3
    if suffix == ".glb":
        assert played["extras"]["prompt"] == name


@pytest.fixture
def screenshot(tmp_path):
    """`screenshot("m.glb?time=1")`: what headless Chromium shows, files being served from `tmp_path`."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    for name in ("play.html", "node_modules"):
        (tmp_path / name).symlink_to(BROWSER / name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def take(query, name):
        picture = tmp_path / name
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        command += ["--hide-scrollbars", "--window-size=480,520", "--virtual-time-budget=8000"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
        url = f"http://127.0.0.1:{server.server_port}/play.html?file={query}"
        subprocess.run([*command, url], capture_output=True, timeout=120)
        assert picture.exists(), "Chromium took no picture"
        if PICTURES:
            shutil.copy(picture, PICTURES)
        return np.asarray(Image.open(picture).convert("RGB")).astype(int)

    yield take
    server.shutdown()


@pytest.mark.parametrize("suffix", [".glb", ".bvh"])
def test_chromium_shows_a_figure(shared_data, suffix, screenshot, tmp_path):
    save(captured(shared_data, CLIPS[2]), tmp_path / f"m{suffix}")
    picture = screenshot(f"m{suffix}&time=1&azimuth=30", f"{suffix[1:]}.png")
    coloured = np.ptp(picture, axis=-1) > 60  # ground and grid are grey
    rows = np.flatnonzero(coloured.any(axis=1))
    assert coloured.sum() > 300 and np.ptp(rows) > 150
