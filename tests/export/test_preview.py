import time

import numpy as np
import pytest
from PIL import Image

from lamp_fast import LampError
from lamp_fast.export.figure import LEFT, RIGHT
from lamp_fast.export.preview import write_contact_sheet, write_gif
from lamp_fast.motion.skeleton import HUMANML3D


def walk(frames=7):
    """A standing figure with both arms out that slides forwards."""
    joints = np.zeros((frames, 22, 3))
    for parent, child in HUMANML3D.bones:
        joints[:, child] = joints[:, parent] + HUMANML3D.offsets[child]
    joints[..., 1] += 0.95
    joints[..., 2] += np.linspace(0, 2, frames)[:, None]
    return joints


def share(picture, colour):
    """Share of the pixels within 40 grey levels of a colour, and their mean column."""
    near = (np.abs(np.asarray(picture.convert("RGB"), dtype=int) - colour) < 40).all(-1)
    return near.mean(), np.nonzero(near)[1].mean()


def test_gif(tmp_path):
    write_gif(tmp_path / "a.gif", [walk()], ["a person slides"], HUMANML3D, fps=20, size=240)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (240, 240) and gif.n_frames == 7
        assert gif.info["duration"] == 50 and gif.info["loop"] == 0
        (left, left_column), (right, right_column) = share(gif, LEFT), share(gif, RIGHT)
    assert left > 0.005 and right > 0.005
    # The camera sees the face: the figure's left is on the right of the picture.
    assert left_column > right_column


def test_camera_stands_before_the_figure_whatever_its_heading(tmp_path):
    turned = walk(1) @ np.array([[-1, 0, 0], [0, 1, 0], [0, 0, -1]])
    for name, joints in (("front", walk(1)), ("turned", turned)):
        write_gif(tmp_path / f"{name}.gif", [joints], [""], HUMANML3D, fps=20, size=120)
    front, turned = (np.asarray(Image.open(tmp_path / f"{n}.gif").convert("RGB")) for n in ("front", "turned"))
    # Equal but for a pixel here and there, where a coordinate rounds the other way.
    assert (front != turned).mean() < 0.01


def test_several_motions_stand_side_by_side_and_wait_for_the_longest(tmp_path):
    write_gif(tmp_path / "a.gif", [walk(3), walk(9)], ["short", "long"], HUMANML3D, fps=12.5, size=96)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (192, 96) and gif.n_frames == 9 and gif.info["duration"] == 80


def test_captions_may_change_from_frame_to_frame(tmp_path):
    write_gif(tmp_path / "a.gif", [walk(2)], [["walks", "waves with both hands"]], HUMANML3D, fps=20, size=240)
    with Image.open(tmp_path / "a.gif") as gif:
        first = np.asarray(gif.convert("RGB"))[-20:]
        gif.seek(1)
        assert (np.asarray(gif.convert("RGB"))[-20:] != first).any()


def test_contact_sheet(tmp_path):
    write_contact_sheet(
        tmp_path / "a.png", [walk(), walk(1)], ["one", "two " * 60], HUMANML3D, fps=20, moments=5, size=100
    )
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (500, 240)


@pytest.mark.parametrize("spoil", ["nan", "shape", "empty"])
@pytest.mark.parametrize("write", [write_gif, write_contact_sheet], ids=lambda f: f.__name__)
def test_bad_joints(write, spoil, tmp_path):
    joints = walk()
    joints[3, 4] = np.nan if spoil == "nan" else joints[3, 4]
    joints = {"nan": joints, "shape": joints[:, :21], "empty": joints[:0]}[spoil]
    with pytest.raises(LampError, match="cannot draw"):
        write(tmp_path / "a.gif", [joints], [""], HUMANML3D, fps=20)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_is_quick(tmp_path):
    start = time.process_time()
    write_gif(tmp_path / "a.gif", [walk(20)], ["a person slides"], HUMANML3D, fps=20)
    assert (time.process_time() - start) / 20 < 0.1  # 15 ms on one 2026 server core
