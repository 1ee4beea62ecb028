import dataclasses

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lamp_fast.checkpoints.released.language_motion import config_from_released, convert, released_name
from lamp_fast.config import LanguageMotionConfig
from lamp_fast.errors import LampError
from lamp_fast.models.language_motion import LanguageMotionModel, PretrainingOptions, draw_negatives

OURS, RELEASED = PretrainingOptions(), PretrainingOptions.released()


def released_model(fixture, key, **changes):
    weights = fixture.state_dict(key)
    config = config_from_released(weights, num_heads=fixture.config["qformer"]["heads"])
    model = LanguageMotionModel(dataclasses.replace(config, **changes)).eval()
    missing, unexpected = model.load_state_dict(convert(weights), strict=False)
    assert not unexpected
    return model, missing


@pytest.fixture
def pretrain(golden):
    fixture = golden("lamp_pretrain")
    model, missing = released_model(fixture, "motion_qformer")
    assert missing == ["condition_projection.weight", "condition_projection.bias"]
    return fixture, model


def test_intermediates_of_the_released_pretraining(pretrain):
    g, model = pretrain
    latents, ids, mask = g["enc"], g["input_ids"], g["attention_mask"]
    with torch.no_grad():
        features, text = model.motion_features(latents, None), model.text_embedding(ids, mask)
        cosine = torch.einsum("iqe,je->ijq", features, text)
        logits = model.contrastive_logits(features, text, RELEASED)
        g.check("motion_embeds", model.motion_projection(latents))
        g.check("query_hidden", model.encode_motion(latents, None))
        g.check("motion_feats", features)
        g.check("motion_re_feats", model.motion_embedding(latents, None))
        g.check("text_hidden", model.encode_text(ids, mask))
        g.check("text_feat", text)
        g.check("sim_q2t", cosine)
        g.check("sim_t2q", cosine.transpose(0, 1))
        g.check("logits_m2t", logits)
        g.check("logits_t2m", logits.T)
        g.check("weights_p2t", logits.softmax(1))
        g.check("weights_t2p", logits.T.softmax(1))

        own = torch.arange(len(ids))
        motion, text = torch.cat([own, g["neg_motion_idx"], own]), torch.cat([own, own, g["neg_text_idx"]])
        assert torch.equal(ids[text], g["itm_input_ids"])
        g.check("itm_hidden_mean", model.encode_pair(latents[motion], None, ids[text], mask[text]).mean(1))
        g.check("itm_logits", model.matching_logits(latents[motion], None, ids[text], mask[text]))

        with_dec = ids.clone()
        with_dec[:, 0] = model.dec_id
        g.check("decoder_input_ids", with_dec)
        _, queries = model.query_memory(model.motion_projection(latents), None)
        g.check("lm_logits", model.word_logits(with_dec, mask, queries))
        memory = model.text_projection(model.embed_text(with_dec))
        g.check("text_embeds", memory)
        hidden, _ = model.query_memory(memory, mask.sum(1))
        g.check("gen_hidden", hidden)
        g.check("gen_logits", model.code_head(hidden))


def test_losses_and_gradients_of_the_released_pretraining(pretrain):
    g, model = pretrain
    losses = model(
        g["enc"],
        g["motion_targets"],
        None,
        g["input_ids"],
        g["attention_mask"],
        options=RELEASED,
        neg_motion_idx=g["neg_motion_idx"],
        neg_text_idx=g["neg_text_idx"],
    )
    g.check("loss_ptc", losses.contrastive)
    g.check("loss_ptm", losses.matching)
    g.check("loss_lm", losses.text_generation)
    g.check("loss_gen", losses.motion_generation)
    g.check("loss", losses.total)

    losses.total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name in (name for name in g.data if name.startswith("grad_")):
        released = name.removeprefix("grad_")
        gradient = gradients[released_name(released)]
        # The released projections are bare matrices, ours are Linear layers.
        g.check(name, gradient.T if released in ("motion_projection", "text_projection") else gradient)
    for released, norm in g.scalars["grad_norm"].items():
        gradient = gradients[released_name(released)]
        # The fixture states rtol 1e-4 and atol 1e-5 for float32 gradient norms.
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), released


def test_text_condition_of_the_released_generator(golden):
    g = golden("text_condition")
    model, missing = released_model(g, "t2m_transformer")
    absent = {"motion_projection", "text_projection", "text_proj", "motion_proj", "matching_head", "code_head", "temp"}
    assert {name.split(".")[0] for name in missing} == absent
    ids, mask = g["input_ids"], g["attention_mask"]
    with torch.no_grad():
        hidden = model.encode_text(ids, mask)
        memory = model.condition_projection(hidden)
        g.check("text_hidden", hidden)
        g.check("text2former", memory)
        g.check("query_hidden", model.query_memory(memory, None)[0])
        g.check("cond_vector", model.condition(ids, mask))
        exact, _ = released_model(g, "t2m_transformer", padding="exact")
        g.check("variant_pad_masked_cond_vector", exact.condition(ids, mask))


CONFIG = LanguageMotionConfig(
    vocab_size=40,
    hidden_size=24,
    num_layers=3,
    num_heads=3,
    intermediate_size=40,
    query_intermediate_size=20,
    max_positions=12,
    num_queries=7,
    memory_width=20,
    code_dim=10,
    num_codes=16,
    embed_dim=14,
)


def random_model(**changes):
    """A model whose every parameter matters: larger weights than at initialisation, non-trivial norms and biases."""
    torch.manual_seed(0)
    model = LanguageMotionModel(dataclasses.replace(CONFIG, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


@pytest.fixture
def model():
    return random_model()


def random_pairs(batch, length=9):
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, CONFIG.num_queries, CONFIG.code_dim, generator=draw)
    codes = torch.randint(CONFIG.num_codes, (batch, CONFIG.num_queries), generator=draw)
    lengths = torch.randint(1, CONFIG.num_queries + 1, (batch,), generator=draw)
    ids = torch.randint(1, CONFIG.vocab_size - 1, (batch, length), generator=draw)
    words = torch.randint(2, length + 1, (batch,), generator=draw)
    mask = (torch.arange(length) < words[:, None]).long()
    return latents, codes, lengths, ids * mask, mask


@pytest.mark.parametrize("options", [OURS, RELEASED])
@pytest.mark.parametrize("batch", [1, 5])
def test_every_loss_is_finite_and_reaches_its_parameters(model, batch, options):
    losses = model.train()(*random_pairs(batch), options=options)
    total = losses.contrastive + losses.matching + losses.text_generation + losses.motion_generation
    assert torch.equal(losses.total, total) and losses.total.isfinite()
    losses.total.backward()
    unused = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    assert unused == {"condition_projection" if options == RELEASED else "text_projection"}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_nothing_waits_for_the_host():
    """Fake tensors have no values: reading one raises."""
    with FakeTensorMode():
        model = LanguageMotionModel(CONFIG)
        latents, codes, lengths, ids, mask = random_pairs(5)
        model(latents, codes, lengths, ids, mask, text_ids=torch.zeros(5, dtype=torch.int64)).total.backward()
        assert model.condition(ids, mask).shape == (5, CONFIG.hidden_size)


def test_bfloat16_autocast_stays_close(model):
    pairs, negatives = random_pairs(5), torch.tensor([1, 2, 3, 4, 0])
    exact = model(*pairs, neg_motion_idx=negatives, neg_text_idx=negatives)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(*pairs, neg_motion_idx=negatives, neg_text_idx=negatives)
    rough.total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    # bfloat16 keeps 8 bits: 3 layers of random weights and a logit scale of 14 stay within a few per cent.
    for name, value in vars(exact).items():
        assert getattr(rough, name).item() == pytest.approx(value.item(), rel=0.1), name


def queries_of(model, pairs):
    latents, _, lengths, ids, mask = pairs
    with torch.no_grad():
        return {
            "motion": model.encode_motion(latents, lengths),
            "motion_embedding": model.motion_embedding(latents, lengths),
            "text_embedding": model.text_embedding(ids, mask),
            "condition": model.condition(ids, mask),
            "matching": model.matching_logits(latents, lengths, ids, mask),
        }


def test_a_sample_does_not_depend_on_its_batch_mates(model):
    pairs = random_pairs(5)
    together = queries_of(model, pairs)
    for i in range(5):
        latents, codes, lengths, ids, mask = (x[i : i + 1] for x in pairs)
        tokens, words = lengths.item(), mask.sum().item()
        alone = queries_of(model, (latents[:, :tokens], codes, lengths, ids[:, :words], mask[:, :words]))
        for name, value in alone.items():
            # float32 rounding: sums over keys run in another order.
            torch.testing.assert_close(together[name][i : i + 1], value, atol=1e-5, rtol=1e-5, msg=name)


def test_nan_stays_in_its_sample(model):
    pairs = random_pairs(5)
    clean = queries_of(model, pairs)
    pairs[0][3] = torch.nan
    spoiled = queries_of(model, pairs)
    others = [0, 1, 2, 4]
    for name in ("motion", "motion_embedding", "matching"):
        assert torch.equal(spoiled[name][others], clean[name][others]), name
    assert spoiled["motion"][3].isnan().all()


def test_what_follows_the_length_does_not_matter(model):
    latents, codes, lengths, ids, mask = random_pairs(5)
    padded = torch.arange(CONFIG.num_queries) >= lengths[:, None]
    other_latents, other_codes = latents + 9.0 * padded[..., None], (codes + padded) % CONFIG.num_codes
    negatives = {"neg_motion_idx": torch.tensor([1, 2, 3, 4, 0]), "neg_text_idx": torch.tensor([4, 0, 1, 2, 3])}
    total = model(latents, codes, lengths, ids, mask, **negatives).total
    assert model(other_latents, other_codes, lengths, ids, mask, **negatives).total.item() == total.item()
    released = model(latents, codes, lengths, ids, mask, options=RELEASED, **negatives).total
    assert model(other_latents, other_codes, lengths, ids, mask, options=RELEASED, **negatives).total != released


def test_non_contiguous_input(model):
    latents, _, lengths, ids, mask = random_pairs(5)
    strided = latents.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    assert torch.equal(model.encode_motion(strided, lengths), model.encode_motion(latents, lengths))
    wide = torch.stack([ids, ids], -1)[..., 0]
    assert torch.equal(model.condition(wide, mask), model.condition(ids, mask))


def test_condition_depends_on_padding_only_in_the_released_mode():
    *_, ids, mask = random_pairs(5)
    more, more_mask = (torch.nn.functional.pad(x, (0, 3)) for x in (ids, mask))
    exact, released = random_model(), random_model(padding="released")
    # float32 rounding.
    torch.testing.assert_close(exact.condition(more, more_mask), exact.condition(ids, mask), atol=1e-5, rtol=0)
    assert (released.condition(more, more_mask) - released.condition(ids, mask)).abs().max() > 1e-2


def test_a_word_is_predicted_from_the_motion_and_the_words_before_it(model):
    latents, _, _, ids, _ = random_pairs(2)
    mask = torch.ones_like(ids)
    _, queries = model.query_memory(model.motion_projection(latents), None)
    logits = model.word_logits(ids, mask, queries)
    changed = ids.clone()
    changed[:, 4] += 1
    difference = (model.word_logits(changed, mask, queries) - logits).abs().amax((0, 2))
    assert (difference[:4] == 0).all() and (difference[4:] > 0).all()
    _, others = model.query_memory(model.motion_projection(-latents), None)
    assert ((model.word_logits(ids, mask, others) - logits).abs().amax((0, 2)) > 0).all()


class TestNegatives:
    def drawn(self, model, text_ids, options=OURS, rounds=30):
        """The motions and texts that matching sees as negatives, for each of many draws."""
        latents, codes, lengths, ids, mask = random_pairs(len(text_ids))
        seen = []
        model._matching_loss = lambda *args: seen.append(args[4:7]) or torch.zeros(())
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for _ in range(rounds):
                model(latents, codes, lengths, ids, mask, torch.tensor(text_ids), options=options, generator=generator)
        motions, texts, valid = (torch.stack(column) for column in zip(*seen, strict=True))
        return motions, texts, valid

    def test_never_the_same_text(self, model):
        text_ids = [7, 8, 7, 9, 8]
        for drawn in self.drawn(model, text_ids)[:2]:
            pairs = {(text_ids[i], text_ids[j]) for row in drawn.tolist() for i, j in enumerate(row)}
            assert pairs == {(7, 8), (7, 9), (8, 7), (8, 9), (9, 7), (9, 8)}

    def test_the_release_draws_positives_too(self, model):
        motions, texts, _ = self.drawn(model, [0, 1, 2], RELEASED)
        own = torch.arange(3)
        assert (motions == own).any() and (texts == own).any()

    def test_harder_ones_come_more_often(self):
        logits = torch.tensor([[2.0, -90.0, 1.0, 0.0], [-300.0, -200.0, 5.0, -300.0]])
        allowed = torch.tensor([[False, True, True, True], [True, True, False, True]])
        expected = logits.masked_fill(~allowed, -torch.inf).softmax(1)
        rows = 4000
        generator = torch.Generator().manual_seed(0)
        drawn = draw_negatives(logits.repeat(rows, 1), allowed.repeat(rows, 1), generator).view(rows, 2)
        frequency = torch.nn.functional.one_hot(drawn, 4).float().mean(0)
        # Four standard deviations of a frequency.
        assert (frequency - expected).abs().max() < 4 * 0.5 / rows**0.5

    def test_a_text_gets_a_motion_near_it_and_a_motion_a_text_near_it(self, model):
        near = torch.tensor([[0.0, 90.0, 0.0], [0.0, 0.0, 90.0], [90.0, 0.0, 0.0]])  # motion i, text j
        model.contrastive_logits = lambda *args: near
        motions, texts, _ = self.drawn(model, [0, 1, 2], rounds=1)
        assert motions.tolist() == [[2, 0, 1]] and texts.tolist() == [[1, 2, 0]]

    def test_a_sample_without_any_adds_none(self, model):
        text_ids = torch.tensor([5, 5, 5])
        assert not self.drawn(model, text_ids.tolist(), rounds=1)[2].any()
        latents, codes, lengths, ids, mask = random_pairs(3)
        expected = torch.nn.functional.cross_entropy(
            model.matching_logits(latents, lengths, ids, mask), torch.ones_like(text_ids)
        )
        del model._matching_loss
        matching = model(latents, codes, lengths, ids, mask, text_ids).matching
        # float32 rounding: nine pairs in one batch instead of three.
        torch.testing.assert_close(matching, expected, atol=1e-6, rtol=1e-5)

    def test_the_same_seed_draws_the_same(self, model):
        first, second = (self.drawn(model, [0, 1, 2, 3], rounds=20) for _ in range(2))
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_clips_that_share_a_text_are_positives_of_each_other(model):
    latents, codes, lengths, ids, mask = random_pairs(4)
    ids, mask = ids[[0, 1, 0, 3]], mask[[0, 1, 0, 3]]
    loss = model(latents, codes, lengths, ids, mask, torch.tensor([4, 2, 4, 0])).contrastive
    logits = model.contrastive_logits(model.motion_features(latents, lengths), model.text_embedding(ids, mask))
    targets = torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]]) * 0.9 + 0.1 / 4
    expected = -(targets * (logits.log_softmax(1) + logits.T.log_softmax(1))).sum(1).mean() / 2
    # float32 rounding.
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)


def test_temperature(model):
    latents, _, lengths, ids, mask = random_pairs(3)
    features, text = model.motion_features(latents, lengths), model.text_embedding(ids, mask)
    cosine = torch.einsum("iqe,je->ijq", features, text).amax(-1)
    for temp, scale in ((2.0, torch.e**2), (50.0, 100.0)):
        model.temp.data.fill_(temp)
        torch.testing.assert_close(model.contrastive_logits(features, text), scale * cosine)
        torch.testing.assert_close(model.contrastive_logits(features, text, RELEASED), temp * cosine)


def test_motion_generation_pretrains_the_path_of_the_condition(model):
    """With the default options its gradient reaches `condition_projection`; the released one does not."""
    latents, codes, lengths, ids, mask = random_pairs(3)
    for options, reached in ((OURS, True), (RELEASED, False)):
        model.zero_grad()
        model(latents, codes, lengths, ids, mask, options=options).motion_generation.backward()
        assert (model.condition_projection.weight.grad is not None) == reached


def test_sizes_that_cannot_work_are_refused(model):
    latents, codes, lengths, ids, mask = random_pairs(2)
    with pytest.raises(LampError, match="heads"):
        LanguageMotionModel(dataclasses.replace(CONFIG, num_heads=5))
    with pytest.raises(LampError, match="13 tokens but the model has 12 positions"):
        model.condition(torch.ones(1, 13, dtype=torch.int64), torch.ones(1, 13))
    with pytest.raises(LampError, match="14 tokens but the model predicts 7"):
        model(latents.repeat(1, 2, 1), codes.repeat(1, 2), lengths, ids, mask)


def test_no_other_checkpoint_is_taken_for_a_released_one():
    with pytest.raises(LampError, match="no released Q-Former"):
        config_from_released({"net.weight": torch.zeros(2, 2)})
