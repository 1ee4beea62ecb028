"""The plain reference against the numbers of the released masked transformer."""

import pytest
import torch

from lamp_fast.reference import masked_transformer as reference

EDITS = {"A": "noise", "B": "noise", "F": "noise_free"}


@pytest.fixture
def weights(golden):
    return golden("masked_transformer").state_dict("t2m_transformer")


def widths(fixture):
    """The token counts for which the fixture holds logits."""
    return [int(name.removeprefix("ids_")) for name in fixture.data if name.startswith("ids_")]


def check_steps(fixture, prefix, steps):
    for field in ("num_token_masked", "is_mask", "logits", "ids", "scores"):
        if f"{prefix}_{field}" in fixture.data:
            fixture.check(f"{prefix}_{field}", torch.stack([getattr(step, field) for step in steps]))
    # Elsewhere what is drawn is not used, and the fixture vouches for no margin between the best two.
    drawn, expected = torch.stack([step.pred_ids for step in steps]), fixture[f"{prefix}_pred_ids"]
    masked = fixture[f"{prefix}_is_mask"]
    assert torch.equal(drawn[masked], expected[masked])


def whole_batch_run(fixture):
    """The run of all texts, whose samples were also generated one by one."""
    return next((prefix, run) for prefix, run in fixture.config["runs"].items() if "samples" not in run)


def test_logits(golden, weights):
    fixture = golden("masked_transformer")
    heads = fixture.config["num_heads"]
    for n in widths(fixture):
        ids = fixture[f"ids_{n}"]
        for name, mode in {"released": "soft_causal", "causal": "causal", "full": "full"}.items():
            logits = reference.trans_forward(weights, ids, fixture["cond"], heads, mode=mode)
            fixture.check(f"logits_{name}_{n}", logits)
        dropped = reference.trans_forward(weights, ids, fixture["cond"], heads, force_mask=True)
        fixture.check(f"logits_uncond_{n}", dropped)
        if f"encoder_out_{n}" in fixture.data:
            fixture.check(f"encoder_out_{n}", reference.encode_sequence(weights, ids, fixture["cond"], heads))


def test_guidance(golden, weights):
    fixture = golden("masked_transformer")
    names = [name for name in fixture.data if name.startswith("cfg_s")]
    assert names
    for name in names:
        scale, n = name.removeprefix("cfg_s").split("_")
        guided = reference.forward_with_cond_scale(
            weights, fixture[f"ids_{n}"], fixture["cond"], fixture.config["num_heads"], float(scale)
        )
        fixture.check(name, guided)


def test_training_forward(golden, weights):
    fixture = golden("masked_transformer")
    n = fixture["train_ids"].shape[1]
    draws = reference.TrainingDraws(
        time=fixture["train_rand_time"],
        permutation=fixture["train_randperm"],
        replace_random=fixture["train_mask_rid"],
        random_ids=fixture["train_rand_id"],
        replace_mask=fixture["train_mask_mid"],
    )
    result = reference.training_forward(
        weights, fixture["train_ids"], fixture["cond"], fixture[f"lens_{n}"], draws, fixture.config["num_heads"]
    )
    for field in ("num_token_masked", "mask", "x_ids", "labels", "logits", "ce_loss", "pred_id", "acc"):
        fixture.check(f"train_{field}", getattr(result, field))


def test_generate(golden, weights):
    fixture = golden("generate")
    for prefix, run in fixture.config["runs"].items():
        steps = reference.generate(
            weights,
            fixture["cond_vector"][run.get("samples", slice(None))],
            fixture[f"m_lens_{prefix}"],
            fixture[f"noise_{prefix}"],
            fixture.config["num_heads"],
            cond_scale=run["cond_scale"],
            temperature=run["temperature"],
            topk_filter_thres=run["topk_filter_thres"],
        )
        assert len(steps) == run["timesteps"]
        check_steps(fixture, prefix, steps)
        fixture.check(f"{prefix}_final_ids", steps[-1].ids)


def test_generate_alone(golden, weights):
    fixture = golden("generate")
    prefix, run = whole_batch_run(fixture)
    for sample, length in enumerate(fixture[f"m_lens_{prefix}"].tolist()):
        steps = reference.generate(
            weights,
            fixture["cond_vector"][sample : sample + 1],
            fixture[f"m_lens_{prefix}"][sample : sample + 1],
            fixture[f"noise_{prefix}"][:, sample : sample + 1, :length],
            fixture.config["num_heads"],
            cond_scale=run["cond_scale"],
            temperature=run["temperature"],
            topk_filter_thres=run["topk_filter_thres"],
        )
        check_steps(fixture, f"single{sample}", steps)
        fixture.check(f"single{sample}_final_ids", steps[-1].ids)


@pytest.mark.parametrize("prefix", EDITS)
def test_edit(golden, weights, prefix):
    fixture = golden("edit")
    tokens, lengths = fixture["tokens"], fixture["m_lens"]
    beyond = torch.arange(tokens.shape[1]) >= lengths[:, None]
    if prefix == "B":
        tokens = tokens.masked_fill(beyond, reference.num_codes(weights) + 1)
    ids, steps = reference.edit(
        weights,
        tokens,
        fixture["cond_vector"],
        lengths,
        fixture[EDITS[prefix]],
        fixture.config["num_heads"],
        edit_mask=None if prefix == "F" else fixture["edit_mask"],
        cond_scale=fixture.config["cond_scale"],
        temperature=fixture.config["temperature"],
        topk_filter_thres=fixture.config["topk_filter_thres"],
    )
    check_steps(fixture, prefix, steps)
    fixture.check(f"{prefix}_logits_last_step", steps[-1].logits)
    fixture.check(f"{prefix}_final_ids", ids)
