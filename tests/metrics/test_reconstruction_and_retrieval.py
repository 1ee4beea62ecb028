"""Metrics on inputs whose answer is known."""

import numpy as np
import pytest
import torch

from lamp_fast.data import Clip, MotionDataset
from lamp_fast.metrics.reconstruction import mpjpe, protocols
from lamp_fast.metrics.retrieval import recall
from lamp_fast.motion.skeleton import HUMANML3D


def test_mpjpe_of_a_shift_is_its_length():
    joints = torch.randn(7, 22, 3, dtype=torch.float64)
    assert mpjpe(joints, joints) == 0
    assert mpjpe(joints, joints + torch.tensor([3.0, 0.0, 4.0])) == pytest.approx(5.0)


def test_protocols_take_the_clips_they_say():
    clips = [Clip(str(t), np.zeros((t, 263), np.float32), ("walk",)) for t in (39, 40, 199, 200, 300)]
    sets = protocols(MotionDataset(clips, HUMANML3D))
    lengths = {name: [len(clip.features) for clip in data.clips] for name, data in sets.items()}
    assert lengths == {
        "40 to 199 frames": [40, 199],
        "first 196 frames": [39, 40, 196, 196, 196],
        "whole clips": [39, 40, 199, 200, 300],
    }


def test_recall_counts_texts_and_ties_against_us():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.3, 0.8], [0.0, 0.0, 0.0]])
    relevant = torch.tensor([[True, False, True], [True, True, False], [False, True, False]])
    result = recall(scores, relevant)
    assert result.recall_at_1 == pytest.approx(1 / 3)
    assert result.recall_at_5 == 1
    assert result.median_rank == 2
    assert result.chance == pytest.approx(5 / 9)
    assert (result.texts, result.motions) == (3, 3)
