"""MotionTokenizer against the released numbers, and its own properties."""

from dataclasses import replace

import pytest
import torch

from lamp_fast.checkpoints.released import tokenizer as released
from lamp_fast.config import TokenizerConfig
from lamp_fast.errors import LampError
from lamp_fast.models.tokenizer import Codebook, MotionEncoder, MotionTokenizer

TINY = TokenizerConfig(feature_dim=23, width=12, code_dim=8, num_codes=16)


def released_tokenizer(fixture) -> MotionTokenizer:
    state = fixture.state_dict("net", "vq_model")
    growth = fixture.config["dilation_growth_rate"]
    model = MotionTokenizer(replace(released.config_from_released(state), dilation_growth=growth))
    model.load_state_dict(released.convert(state))
    return model.eval()


def lengths(fixture):
    return [name.removeprefix("motion_") for name in fixture.data if name.startswith("motion_")]


@pytest.mark.parametrize("name", ["vq_t2m", "vq_kit"])
def test_released_numbers(golden, name):
    fixture = golden(name)
    model = released_tokenizer(fixture)
    for t in lengths(fixture):
        motion = fixture[f"motion_{t}"]
        with torch.no_grad():
            latents = model.encode(motion)
            codes = model.quantize(latents)
            losses = model.loss(motion)
            fixture.check(f"enc_{t}", latents.transpose(1, 2))
            fixture.check(f"codes_{t}", codes)
            fixture.check(f"dequant_{t}", model.dequantize(codes))
            fixture.check(f"recon_{t}", model(motion))
            fixture.check(f"recon_{t}", model.decode(codes))
        fixture.check(f"commit_loss_{t}", losses.commitment)
        fixture.check(f"perplexity_{t}", losses.perplexity)
        fixture.check(f"loss_rec_{t}", losses.reconstruction)
        fixture.check(f"loss_explicit_{t}", losses.positions)
        fixture.check(f"loss_total_{t}", losses.total)


@pytest.mark.parametrize("variant", ["alive", "dead", "first"])
def test_released_codebook_step(golden, variant):
    fixture = golden("vq_ema_update")
    x = fixture["x"].transpose(1, 2)
    flat = x.reshape(-1, x.shape[-1])
    book = Codebook(fixture.config["nb_code"], fixture.config["code_dim"])
    if variant == "first":
        book.start(flat, shuffle=False)
    else:
        book.vectors.copy_(fixture["codebook_before"])
        book.ema_sum.copy_(fixture["code_sum_before"])
        book.ema_count.copy_(fixture["dead_code_count_before" if variant == "dead" else "code_count_before"])
    codes = book.lookup(x)
    fixture.check(f"{variant}_code_idx", codes)
    book.update(flat, codes.flatten(), fixture.config["mu"], dead_codes="released")
    fixture.check(f"{variant}_codebook_after", book.vectors)
    fixture.check(f"{variant}_code_sum_after", book.ema_sum)
    fixture.check(f"{variant}_code_count_after", book.ema_count)


def test_dead_codes_restart_at_latents_of_the_batch():
    torch.manual_seed(0)
    book = Codebook(8, 4)
    latents = torch.randn(32, 4)
    book.vectors.copy_(torch.cat([latents[:4], torch.full((4, 4), 1e3)]))
    book.ema_sum.copy_(book.vectors)
    book.ema_count.copy_(torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]))
    book.update(latents, book.lookup(latents), decay=0.99)
    for code in book.vectors[4:]:
        assert (latents == code).all(1).any()
    assert book.ema_count[4:].eq(1).all()


@pytest.mark.parametrize("tokens", [1, 7, 49])
@pytest.mark.parametrize("batch", [1, 3])
def test_shapes_and_batch_independence(tokens, batch):
    torch.manual_seed(tokens)
    model = MotionTokenizer(TINY).eval()
    model.codebook.vectors.normal_()
    features = torch.randn(batch, TINY.feature_dim, 4 * tokens).transpose(1, 2)
    codes = model.quantize(model.encode(features))
    assert codes.shape == (batch, tokens)
    assert model(features).shape == features.shape
    poisoned = torch.cat([features[:1], torch.full_like(features[:1], float("nan"))])
    assert torch.equal(model.quantize(model.encode(poisoned))[0], codes[0])


def test_training_step_moves_codebook_and_gives_gradients():
    torch.manual_seed(0)
    model = MotionTokenizer(TINY).train()
    losses = model.loss(torch.randn(4, 32, TINY.feature_dim))
    losses.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.codebook.vectors.abs().sum() > 0
    assert set(model.state_dict()) == set(MotionTokenizer(TINY).state_dict())
    assert not any("ema" in k for k in model.state_dict())


@pytest.mark.parametrize("coder", [MotionTokenizer, MotionEncoder])
@pytest.mark.parametrize("shape", [(2, 8, 5), (8, 23), (2, 3, 23), (2, 0, 23)])
def test_wrong_features_get_a_sentence(coder, shape):
    with pytest.raises(LampError, match="motion"):
        coder(TINY).encode(torch.zeros(shape))
