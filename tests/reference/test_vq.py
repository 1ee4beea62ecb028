"""The plain reference of stage A against the released numbers."""

import pytest
import torch

from lamp_fast.reference import vq


@pytest.mark.parametrize("name", ["vq_t2m", "vq_kit"])
def test_released_numbers(golden, name):
    fixture = golden(name)
    p, growth = fixture.state_dict("net", "vq_model"), fixture.config["dilation_growth_rate"]
    for t in (n.removeprefix("motion_") for n in fixture.data if n.startswith("motion_")):
        motion = fixture[f"motion_{t}"]
        ids = vq.codes(p, motion, growth)
        fixture.check(f"enc_{t}", vq.encode(p, motion, growth=growth))
        fixture.check(f"codes_{t}", ids)
        for key, value in vq.losses(p, motion, growth).items():
            fixture.check(f"{key}_{t}", value)
        for b in range(len(motion)):
            if f"fwddec_{t}_{b}" in fixture.data:
                fixture.check(f"fwddec_{t}_{b}", vq.decode_codes(p, ids[b : b + 1], growth))


def test_encoders_of_the_pretraining(golden):
    """The released checkpoint holds two: a motion encoder for the latents, the tokenizer's for the codes."""
    fixture = golden("lamp_pretrain")
    p, growth = fixture.state_dict("motion_qformer"), fixture.config["vq"]["dilation_growth_rate"]
    motion = fixture["motion"]
    fixture.check("enc", vq.encode(p, motion, "motion_encoder.", growth).transpose(1, 2))
    tokenizer = {name.removeprefix("vq_model."): tensor for name, tensor in p.items()}
    fixture.check("motion_targets", vq.codes(tokenizer, motion, growth))


@pytest.mark.parametrize("variant", ["alive", "dead", "first"])
def test_codebook_step(golden, variant):
    fixture = golden("vq_ema_update")
    x = fixture["x"]
    flat = x.transpose(1, 2).reshape(-1, x.shape[1])
    if variant == "first":
        state = vq.init_codebook(flat, fixture.config["nb_code"])
    else:
        count = fixture["dead_code_count_before" if variant == "dead" else "code_count_before"]
        state = fixture["codebook_before"], fixture["code_sum_before"], count
    ids = vq.quantize(state[0], flat)
    quantized = torch.nn.functional.embedding(ids, state[0]).view(x.shape[0], x.shape[2], -1).transpose(1, 2)
    fixture.check(f"{variant}_code_idx", ids.view(x.shape[0], x.shape[2]))
    fixture.check(f"{variant}_x_d", quantized)
    fixture.check(f"{variant}_commit_loss", torch.nn.functional.mse_loss(x, quantized))
    fixture.check(f"{variant}_perplexity", vq.perplexity(ids, fixture.config["nb_code"]))
    after = vq.ema_update(*state, flat, fixture.config["mu"])
    for name, value in zip(("codebook", "code_sum", "code_count"), after, strict=True):
        fixture.check(f"{variant}_{name}_after", value)
