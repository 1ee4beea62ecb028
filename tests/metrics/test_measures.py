"""The measures on inputs whose answer is known."""

import numpy as np
import pytest
import torch

from lamp_fast import LampError
from lamp_fast.metrics.captions import caption_scores, cider
from lamp_fast.metrics.distributions import diversity, draw_pairs, frechet_distance
from lamp_fast.metrics.interval import Interval, confidence_interval
from lamp_fast.metrics.matching import matching
from lamp_fast.metrics.physics import floor_penetration, foot_skating, jerk, plausibility
from lamp_fast.metrics.protocols import all_pairs, dissimilar_subset, least_alike, small_batches, threshold
from lamp_fast.motion.skeleton import HUMANML3D, KIT


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_frechet_distance_of_a_shift_is_its_square(draw):
    x = draw.normal(size=(63, 7))
    assert frechet_distance(x, x + [3, 4, 0, 0, 0, 0, 0]) == pytest.approx(25)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_two_scales():
    x = np.array([[-1.0], [1.0]])  # variance 2; that of 3 x is 18: (3 - 1)² times 2
    assert frechet_distance(x, 3 * x) == pytest.approx(8)


@pytest.mark.parametrize("rows", [np.zeros((1, 7)), np.full((3, 7), np.nan), np.zeros(7)])
def test_frechet_distance_refuses(rows):
    with pytest.raises(LampError):
        frechet_distance(rows, rows)


def test_pairs_are_as_many_as_there_can_be(draw):
    first, second = draw_pairs(7, 300, draw)
    assert len(first) == len(second) == len(set(first)) == 7
    assert diversity(np.ones((7, 3)), first, second) == 0


def test_matching_counts_ties_against_us():
    same = np.ones((4, 3))
    assert matching(same, same, top=4).hits.tolist() == [0, 0, 0, 4]


def test_matching_leaves_out_what_fills_no_group(draw):
    x = draw.normal(size=(70, 5))
    result = matching(x, x, group=32)
    assert result.pairs == 64 and result.precision.tolist() == [1, 1, 1] and result.distance < 1e-6
    assert matching(x[:7], x[:7]).pairs == 7
    with pytest.raises(LampError):
        matching(x, x[:1])
    with pytest.raises(LampError):
        matching(x[:0], x[:0])


def test_retrieval_of_a_shifted_diagonal():
    similarity = np.eye(7)[:, np.r_[1:7, 0]]
    both = all_pairs(similarity)
    assert both.text_to_motion.recall[1] == 0 and both.motion_to_text.recall[10] == 100
    texts = np.eye(7) + similarity  # every text says what the next one says
    assert threshold(similarity, texts).text_to_motion.recall[1] == 100
    assert small_batches(np.eye(70)).text_to_motion.candidates == 32


def test_texts_least_alike_are_chosen():
    groups = np.repeat([0, 1, 2], 3)
    texts = (groups[:, None] == groups).astype(float)
    assert sorted(groups[least_alike(texts, 3)]) == [0, 1, 2]
    assert dissimilar_subset(np.eye(9), texts, 3).text_to_motion.candidates == 3
    assert least_alike(texts, 100).tolist() == list(range(9))


def test_interval():
    assert str(confidence_interval([0.25])) == "0.250"
    assert confidence_interval([1, 3]) == Interval(2, 1.96 / np.sqrt(2), 2)


def test_captions_that_repeat_their_references():
    texts = ["a person walks forward slowly", "somebody jumps over two boxes", "The man waves, then sits!"]
    scores = caption_scores(texts, [[text] for text in texts])
    assert scores == {name: pytest.approx(100 if name != "CIDEr" else 1000) for name in scores}
    assert caption_scores(["kneel"], [["a man runs"]]) == dict.fromkeys(scores, 0)
    assert cider([["a"]], [[["a"]]]).tolist() == [0]  # in one document nothing is rare


@pytest.mark.parametrize("captions, references", [([], []), (["a"], []), (["a"], [[]])])
def test_captions_without_references(captions, references):
    with pytest.raises(LampError):
        caption_scores(captions, references)


def still(skeleton, frames=20):
    joints = torch.zeros(frames, skeleton.num_joints, 3)
    joints[..., 1] = 1
    return joints


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_foot_skating(skeleton):
    joints = still(skeleton)
    toe = skeleton.right_foot[1]
    joints[:, toe, 1] = 0.01
    assert foot_skating(joints, skeleton) == 0
    joints[:, toe, 0] = torch.arange(20) * 0.6 / skeleton.fps  # 0.6 m/s
    # The mean over five steps takes in the stillness before and after: the first two and the last two are too slow.
    assert foot_skating(joints, skeleton) == pytest.approx(15 / 19)
    assert foot_skating(joints.expand(2, 3, -1, -1, -1), skeleton).shape == (2, 3)
    joints[:, toe, 1] = 0.06
    assert foot_skating(joints, skeleton) == 0


def test_floor_penetration_is_in_millimetres():
    joints = still(HUMANML3D)
    joints[:10, 10, 1] = -0.02
    assert floor_penetration(joints) == pytest.approx(10)


def test_jerk_of_a_cubic():
    joints = still(HUMANML3D)
    seconds = torch.arange(20) / 20
    joints[..., 2] = (seconds**3)[:, None]
    assert jerk(joints, 20) == pytest.approx(6, rel=1e-2)  # float32, differenced three times
    assert jerk(joints[:3], 20) == 0


@pytest.mark.parametrize("joints", [torch.zeros(7, 21, 3), torch.full((7, 22, 3), torch.nan), torch.zeros(22, 3)])
def test_plausibility_refuses(joints):
    with pytest.raises(LampError):
        plausibility(joints, HUMANML3D)


def test_plausibility_of_one_frame():
    assert vars(plausibility(still(HUMANML3D, 1), HUMANML3D)) == {"foot_skating": 0, "floor_penetration": 0, "jerk": 0}
