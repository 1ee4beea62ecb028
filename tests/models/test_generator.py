"""MotionGenerator and LengthPredictor: the released numbers, independence of padding, the training loss."""

from dataclasses import replace

import pytest
import torch

from lamp_fast.checkpoints.released import generator as released
from lamp_fast.config import LengthConfig
from lamp_fast.errors import LampError
from lamp_fast.models.generator import MotionGenerator
from lamp_fast.models.length import LengthPredictor
from lamp_fast.models.masking import MaskingDraws, draw_masking, mask_tokens


@pytest.mark.parametrize("mode, name", [("soft_causal", "released"), ("causal", "causal"), ("full", "full")])
def test_released_logits(golden, released_generator, mode, name):
    fixture = golden("masked_transformer")
    model = released_generator(attention_mode=mode)
    for n in [int(key.removeprefix("ids_")) for key in fixture.data if key.startswith("ids_")]:
        ids, lengths = fixture[f"ids_{n}"], fixture[f"lens_{n}"]
        with torch.no_grad():
            fixture.check(f"logits_{name}_{n}", model(ids, fixture["cond"], lengths).transpose(1, 2))


def test_released_logits_without_condition(golden, released_generator):
    fixture = golden("masked_transformer")
    model = released_generator()
    for n in [int(key.removeprefix("ids_")) for key in fixture.data if key.startswith("ids_")]:
        ids, lengths = fixture[f"ids_{n}"], fixture[f"lens_{n}"]
        dropped = torch.ones(len(ids), dtype=torch.bool)
        with torch.no_grad():
            fixture.check(f"logits_uncond_{n}", model(ids, None, lengths).transpose(1, 2))
            fixture.check(f"logits_uncond_{n}", model(ids, fixture["cond"], lengths, dropped).transpose(1, 2))


def test_released_training_loss(golden, released_generator):
    fixture = golden("masked_transformer")
    model = released_generator()
    ids = fixture["train_ids"]
    lengths = fixture[f"lens_{ids.shape[1]}"]
    draws = MaskingDraws(
        time=fixture["train_rand_time"],
        order=fixture["train_randperm"],
        use_random=fixture["train_mask_rid"],
        random_codes=fixture["train_rand_id"],
        use_mask=fixture["train_mask_mid"],
    )
    config = model.config
    tokens = mask_tokens(ids, lengths, draws, mask_id=config.mask_id, pad_id=config.pad_id, masked_fraction_of="padded")
    fixture.check("train_x_ids", tokens.inputs)
    fixture.check("train_mask", tokens.masked)
    fixture.check("train_labels", ids.masked_fill(~tokens.masked, config.mask_id))
    with torch.no_grad():
        result = model.loss(ids, fixture["cond"], lengths, draws=draws, masked_fraction_of="padded")
    fixture.check("train_ce_loss", result.loss)
    fixture.check("train_acc", result.accuracy)


@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
def test_exact_padding_depends_on_nothing_beyond_the_length(small_generator, mode):
    model = small_generator(attention_mode=mode)
    lengths = [49, 7, 1]
    ids = torch.randint(model.config.num_codes, (3, 49))
    condition = torch.randn(3, model.config.condition_dim)
    batch = model(ids, condition, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        alone = model(ids[row : row + 1, :n], condition[row : row + 1], torch.tensor([n]))
        # float32, sums of 50 terms in another order: logits are of size 3.
        torch.testing.assert_close(batch[row, :n], alone[0], atol=2e-5, rtol=0)


def test_poisoned_pads_do_not_leak(small_generator):
    model = small_generator()
    with torch.no_grad():
        model.token_embedding.weight[model.config.pad_id] = float("nan")
    lengths = torch.tensor([7, 49])
    ids = torch.randint(model.config.num_codes, (2, 49))
    ids[0, 7:] = model.config.pad_id
    logits = model(ids, torch.randn(2, model.config.condition_dim), lengths)
    assert logits[0, :7].isfinite().all() and logits[1].isfinite().all()


def test_released_padding_attends_to_pads(small_generator):
    model = small_generator(padding="released")
    ids = torch.randint(model.config.num_codes, (1, 7))
    condition = torch.randn(1, model.config.condition_dim)
    padded = torch.cat((ids, torch.full((1, 3), model.config.pad_id)), dim=1)
    lengths = torch.tensor([7])
    difference = (model(padded, condition, lengths)[:, :7] - model(ids, condition, lengths)).abs().max()
    assert difference > 1e-2


@pytest.mark.parametrize("batch, n", [(1, 1), (1, 49), (3, 7)])
def test_shapes_and_non_contiguous_input(small_generator, batch, n):
    model = small_generator()
    ids = torch.randint(model.config.num_codes, (n, batch)).T
    condition = torch.randn(model.config.condition_dim, batch).T
    logits = model(ids, condition, None)
    assert logits.shape == (batch, n, model.config.num_codes)
    torch.testing.assert_close(logits, model(ids.contiguous(), condition.contiguous(), None))


def test_bad_input_is_one_sentence(small_generator):
    model = small_generator()
    ids = torch.zeros(2, 5, dtype=torch.int64)
    with pytest.raises(LampError, match="at most 49"):
        model(torch.zeros(1, 50, dtype=torch.int64), torch.zeros(1, model.config.condition_dim), None)
    with pytest.raises(LampError, match="condition has shape"):
        model(ids, torch.zeros(2, model.config.condition_dim + 1), None)
    with pytest.raises(LampError, match="heads"):
        MotionGenerator(replace(model.config, num_heads=5))
    with pytest.raises(LampError, match="masked_fraction_of"):
        model.loss(ids, torch.zeros(2, model.config.condition_dim), torch.tensor([5, 5]), masked_fraction_of="all")
    with pytest.raises(LampError, match="token_emb.weight"):
        released.convert({})


def test_masking_by_length_never_touches_padding_and_masks_the_stated_share():
    lengths = torch.tensor([1, 7, 30, 49])
    ids = torch.randint(40, (4, 49))
    draws = draw_masking(ids.shape, 40, generator=torch.Generator().manual_seed(1), device=ids.device)
    tokens = mask_tokens(ids, lengths, draws, mask_id=40, pad_id=41)
    expected = torch.round(torch.cos(draws.time * torch.pi * 0.5) * lengths).clamp(min=1).long()
    assert torch.equal(tokens.masked.sum(dim=1), expected)
    beyond = torch.arange(49) >= lengths[:, None]
    assert not (tokens.masked & beyond).any()
    assert (tokens.inputs[beyond] == 41).all()
    untouched = ~tokens.masked & ~beyond
    assert torch.equal(tokens.inputs[untouched], ids[untouched])


def test_masking_shares_of_the_release():
    ids = torch.full((400, 49), 5)
    draws = draw_masking(ids.shape, 40, generator=torch.Generator().manual_seed(2), device=ids.device)
    tokens = mask_tokens(ids, torch.full((400,), 49), draws, mask_id=40, pad_id=41)
    shown = tokens.inputs[tokens.masked]
    # About 12,500 masked positions: three standard deviations are 0.011.
    assert (shown == 40).double().mean().item() == pytest.approx(0.9 * 0.88, abs=0.015)
    assert (shown == 5).double().mean().item() == pytest.approx(0.9 * 0.12 + 0.1 / 40, abs=0.015)


def test_loss_is_a_function_of_the_generator(small_generator):
    model = small_generator().train()
    ids = torch.randint(model.config.num_codes, (3, 49))
    condition, lengths = torch.randn(3, model.config.condition_dim), torch.tensor([49, 7, 1])

    def loss(seed):
        torch.manual_seed(0)
        return model.loss(ids, condition, lengths, torch.Generator().manual_seed(seed)).loss.item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


def test_loss_ignores_what_stands_beyond_the_length(small_generator):
    model = small_generator()
    ids = torch.randint(model.config.num_codes, (2, 49))
    condition, lengths = torch.randn(2, model.config.condition_dim), torch.tensor([30, 7])
    other = torch.where(torch.arange(49) < lengths[:, None], ids, 0)
    first = model.loss(ids, condition, lengths, torch.Generator().manual_seed(3))
    second = model.loss(other, condition, lengths, torch.Generator().manual_seed(3))
    assert torch.equal(first.loss, second.loss) and torch.equal(first.accuracy, second.accuracy)


@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
def test_model_can_learn_one_batch(small_generator, mode):
    config = replace(small_generator().config, dropout=0.0, condition_dropout=0.0, attention_mode=mode)
    model = MotionGenerator(config)
    ids = torch.randint(model.config.num_codes, (3, 7))
    condition, lengths = torch.eye(3, model.config.condition_dim), torch.tensor([7, 5, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        result = model.loss(ids, condition, lengths, generator)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        losses.append(result.loss.detach())
    assert torch.stack(losses[:10]).mean() > 3
    assert torch.stack(losses[-30:]).mean() < 1


def test_condition_dropout_only_in_training(small_generator):
    model = small_generator(condition_dropout=1.0, dropout=0.0)
    ids = torch.randint(model.config.num_codes, (3, 7))
    lengths = torch.tensor([7, 7, 7])
    conditions = [torch.randn(3, model.config.condition_dim) for _ in range(2)]

    def losses():
        return [model.loss(ids, c, lengths, torch.Generator().manual_seed(0)).loss.item() for c in conditions]

    first, second = losses()
    assert first != second
    model.train()
    first, second = losses()
    assert first == second


def test_nothing_waits_for_the_device(small_generator):
    """On the meta device there is no data: any value read by the host would raise."""
    model = small_generator().to("meta").train()
    ids = torch.empty(3, 7, dtype=torch.int64, device="meta")
    condition = torch.empty(3, model.config.condition_dim, device="meta")
    for masked_fraction_of in ("length", "padded"):
        result = model.loss(ids, condition, ids[:, 0], masked_fraction_of=masked_fraction_of)
        result.loss.backward()
    predictor = LengthPredictor(LengthConfig(condition_dim=condition.shape[1], max_tokens=9)).to("meta")
    assert predictor.predict(condition).shape == (3,)


def test_bfloat16_autocast_trains(small_generator):
    model = small_generator().train()
    ids = torch.randint(model.config.num_codes, (2, 7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = model.loss(ids, torch.randn(2, model.config.condition_dim), torch.tensor([7, 3]))
    result.loss.backward()
    assert result.loss.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_length_predictor():
    torch.manual_seed(0)
    predictor = LengthPredictor(LengthConfig(condition_dim=20, hidden_size=16, max_tokens=9)).eval()
    condition = torch.randn(63, 20)
    logits = predictor(condition)
    assert logits.shape == (63, 9)
    assert torch.equal(predictor.predict(condition), logits.argmax(dim=-1) + 1)

    lengths = torch.arange(63) % 9 + 1
    expected = torch.nn.functional.cross_entropy(logits, lengths - 1)
    torch.testing.assert_close(predictor.loss(condition, lengths), expected)
    with pytest.raises(LampError, match="expected"):
        predictor(torch.randn(3, 21))
