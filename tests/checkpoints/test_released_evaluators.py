"""The evaluator of Guo et al. and MoMask's length estimator, loaded from their own files."""

import pytest
import torch

from lamp_fast import LampError
from lamp_fast.checkpoints.folder import load_model, save_model
from lamp_fast.checkpoints.released import evaluator, length_estimator
from lamp_fast.models.evaluator import MotionTextEvaluator
from lamp_fast.models.length_estimator import LengthEstimator


@pytest.fixture
def fixture(golden):
    return golden("evaluator")


@pytest.fixture
def model(fixture):
    parts = {part: fixture.state_dict(part) for part in evaluator.PARTS}
    released = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
    model = MotionTextEvaluator(evaluator.config_from_released(released)).eval()
    model.load_state_dict(evaluator.convert(released))
    return model


@torch.no_grad()
def test_evaluator(fixture, model):
    order = fixture["align_idx"]
    motions, lengths = fixture["motions"], fixture["m_lens"]
    fixture.check("movements", model.movement(motions[..., :-4])[order])
    fixture.check("motion_embedding", model.motion_embedding(motions, lengths)[order])
    text = model.text_embedding(fixture["word_embs"], fixture["pos_ohot"], fixture["cap_lens"])
    fixture.check("text_embedding", text[order])


@torch.no_grad()
def test_a_row_does_not_depend_on_its_neighbours(fixture, model):
    motions, lengths = fixture["motions"], fixture["m_lens"]
    together = model.motion_embedding(motions, lengths)
    for i in range(len(lengths)):
        alone = model.motion_embedding(motions[i : i + 1], lengths[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-5)  # rounding of other batch sizes


def test_what_does_not_fit_is_said(fixture, model):
    motions = fixture["motions"]
    with pytest.raises(LampError, match="lengths are"):
        model.motion_embedding(motions[:1], torch.tensor([3]))
    with pytest.raises(LampError, match=r"expected \(B, T, "):
        model.motion_embedding(motions[..., :-1], fixture["m_lens"])
    with pytest.raises(LampError, match="widths"):
        model.text_embedding(fixture["word_embs"][..., 1:], fixture["pos_ohot"], fixture["cap_lens"])
    with pytest.raises(LampError, match="lacks movement.first.weight"):
        evaluator.config_from_released({})
    with pytest.raises(LampError, match="lacks output.0.weight"):
        length_estimator.config_from_released({})


@torch.no_grad()
def test_length_estimator(golden, tmp_path):
    fixture = golden("length_estimator")
    released = fixture.state_dict("estimator")
    model = LengthEstimator(length_estimator.config_from_released(released)).eval()
    model.load_state_dict(length_estimator.convert(released))
    save_model(tmp_path, model)
    logits = load_model(tmp_path)(fixture["text_emb"])
    fixture.check("logits", logits)
    fixture.check("probs", logits.softmax(-1))
    fixture.check("argmax_token_len", logits.argmax(-1))
