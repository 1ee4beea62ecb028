"""The page as a file: what it holds, that nothing in it can be more than data, that it asks nobody for anything."""

import base64
import json
import re

import numpy as np
import pytest

from lamp_fast import LampError
from lamp_fast.export import page, save
from lamp_fast.export.body import build_body
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D, KIT

EVIL = "</script><script>alert(1)</script> <!-- {{SCRIPT}} & \u2028 \" '"


def standing(frames=7, skeleton=HUMANML3D):
    """A T-pose of plausible size that walks along +X, turning to its left."""
    joints = np.zeros((frames, skeleton.num_joints, 3), np.float32)
    for parent, joint in skeleton.bones:
        joints[:, joint] = joints[:, parent] + 0.2 * np.array(skeleton.t_pose[joint], np.float32)
    yaw = np.linspace(0, 1, frames)[:, None]
    x, y, z = np.moveaxis(joints, -1, 0)
    turned = np.stack([np.cos(yaw) * x + np.sin(yaw) * z, y + 0.9, np.cos(yaw) * z - np.sin(yaw) * x], axis=-1)
    return (turned + np.linspace(0, 1, frames)[:, None, None] * [1, 0, 0]).astype(np.float32)


def clip(frames=7, skeleton=HUMANML3D, prompts=None, fps=20.0, seed=3):
    contacts = np.arange(4 * frames).reshape(frames, 4) % 3 == 0
    return Clip(standing(frames, skeleton), skeleton, fps, contacts, prompts or ["a person walks"] * frames, seed)


def embedded(text):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("frames", [1, 7, 63])
def test_everything_about_a_motion_is_there(skeleton, frames):
    motion = clip(frames, skeleton, prompts=["walks"] * (frames // 2) + ["waves"] * (frames - frames // 2))
    data = embedded(page.render_page([motion]))
    (described,) = data["motions"]
    points = np.frombuffer(base64.b64decode(described["points"]), "<f4").reshape(frames, -1, 3)
    assert np.array_equal(points[:, : skeleton.num_joints], motion.joints)
    assert max(index for part in described["parts"] for index in part[:2]) < points.shape[1] - 2
    assert described["prompts"] == ([[0, "walks"]] if frames > 1 else []) + [[frames // 2, "waves"]]
    down = [[bits >> foot & 1 for foot in range(4)] for bits in described["contacts"]]
    assert np.array_equal(np.array(down, bool), motion.contacts)
    assert (described["fps"], described["frames"], described["name"], data["live"]) == (20.0, frames, "seed 3", False)


def test_the_body():
    joints = standing(9)
    body = build_body(joints[::2], HUMANML3D)
    below, ahead = body.points[:, -2], body.points[:, -1]
    yaw = np.linspace(0, 1, 9)[::2]
    np.testing.assert_allclose(below, joints[::2, 0] * [1, 0, 1], atol=1e-6)  # float32
    way = (ahead - below) / np.linalg.norm(ahead - below, axis=-1, keepdims=True)
    np.testing.assert_allclose(way, np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], axis=1), atol=1e-5)  # float32
    sides = {side for *_, side in body.parts}
    assert sides == {"left", "right", "middle", "face"}
    # The nose is before the head, the crown is the highest point.
    nose = body.points[:, next(end for _, end, *_, side in body.parts if side == "face")]
    assert (((nose - joints[::2, 15]) * way).sum(-1) > 0.05).all()
    assert body.points[..., 1].max() > joints[..., 1].max() + 0.03


def test_bones_of_no_length():
    body = build_body(np.zeros((2, 22, 3)), HUMANML3D)
    assert np.isfinite(body.points).all() and all(radius > 0 for part in body.parts for radius in part[2:4])


def test_words_stay_data():
    motion = clip(2, prompts=[EVIL, EVIL])
    text = page.render_page([motion], [EVIL])
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script>", text)) == 2
    assert "<!--" not in text.split("<title>")[1]
    (described,) = embedded(text)["motions"]
    assert described["prompts"] == [[0, EVIL]] and described["name"] == EVIL
    assert "<title>&lt;/script&gt;" in text


def test_nothing_is_fetched():
    text = page.render_page([clip()])
    assert not re.findall(r"https?://|//\w+\.|@import|\bsrc=|url\(", text)
    policy = re.search(r'Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'") and "connect-src" not in policy and "unsafe" not in policy
    assert "connect-src 'self'" in page.render_page([], live=True)


def test_save_writes_several_motions_into_one_page(tmp_path):
    save([clip(2), clip(5, fps=30.0), clip(3, KIT)], tmp_path / "all.html")
    motions = embedded((tmp_path / "all.html").read_text(encoding="utf-8"))["motions"]
    assert [motion["frames"] for motion in motions] == [2, 5, 3]
    assert [motion["fps"] for motion in motions] == [20.0, 30.0, 20.0]


class Broken:
    """A motion that no checks have seen."""

    skeleton, fps, seed, contacts, frame_prompts = HUMANML3D, 20.0, None, np.zeros((2, 4), bool), ["", ""]

    def __init__(self, value):
        self.joints = standing(2)
        self.joints[1, 5, 2] = value


@pytest.mark.parametrize(
    "value, sentence", [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1e6, "leaves the 1000 m")]
)
def test_joints_that_cannot_be_shown(value, sentence, tmp_path):
    with pytest.raises(LampError, match=sentence):
        page.write_page(tmp_path / "a.html", [Broken(value)])
    assert not list(tmp_path.iterdir())


def test_too_many_frames(monkeypatch):
    monkeypatch.setattr(page, "MAX_FRAMES", 10)
    with pytest.raises(LampError, match="14 frames, a page holds 10"):
        page.render_page([clip(7), clip(7)])


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LampError, match="cannot write"):
        page.write_page(tmp_path / "file" / "a.html", [clip()])
