import numpy as np
import pytest
import torch

from lamp_fast.errors import LampError
from lamp_fast.motion.resample import resample_joints, resample_rotations


@pytest.mark.parametrize(
    ("frames", "fps", "target", "count"), [(1, 20, 60, 1), (7, 20, 60, 19), (49, 30, 20, 33), (8, 120, 20, 2)]
)
def test_straight_lines_and_steady_turns_stay_so(frames, fps, target, count):
    time, new_time = torch.arange(frames) / fps, torch.arange(count) / target
    joints = time[:, None, None] * torch.ones(2, 3)
    torch.testing.assert_close(resample_joints(joints, fps, target), new_time[:, None, None] * torch.ones(2, 3))

    def turning(seconds):  # half a radian a second about Y, the sign of every other frame flipped
        half = 0.25 * seconds[:, None]
        zero = torch.zeros_like(half)
        return torch.stack([half.cos(), zero, half.sin(), zero], dim=-1)

    flips = (-1.0) ** torch.arange(frames)[:, None, None]
    resampled = resample_rotations(turning(time) * flips, fps, target)
    cos = (resampled * turning(new_time)).sum(-1).abs()
    torch.testing.assert_close(cos, torch.ones(count, 1))


def test_numpy_in_numpy_out():
    assert isinstance(resample_joints(np.zeros((4, 22, 3), np.float32), 20, 30), np.ndarray)


@pytest.mark.parametrize(("fps", "target"), [(0, 20), (20, -1), (20, float("inf")), (float("nan"), 20)])
def test_frame_rates_must_be_positive(fps, target):
    with pytest.raises(LampError, match="positive"):
        resample_joints(torch.zeros(4, 22, 3), fps, target)


def test_no_frames():
    with pytest.raises(LampError, match="no frames"):
        resample_rotations(torch.zeros(0, 22, 4), 20, 30)
