import dataclasses

import pytest
import torch

from lamp_fast.checkpoints.released.language_motion import config_from_released, convert, released_name
from lamp_fast.config import LanguageMotionConfig
from lamp_fast.models.language_motion import LanguageMotionModel, PretrainingOptions

RELEASED = PretrainingOptions.released()


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
        hidden, _ = model.query_memory(memory, mask)
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
        g.check(name, gradient.T if released == "motion_projection" else gradient)
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


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LanguageMotionConfig(
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
    return LanguageMotionModel(config).eval()


def pairs(config, batch, length=9, seed=1):
    draw = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch, config.num_queries, config.code_dim, generator=draw)
    codes = torch.randint(config.num_codes, (batch, config.num_queries), generator=draw)
    lengths = torch.randint(1, config.num_queries + 1, (batch,), generator=draw)
    ids = torch.randint(1, config.vocab_size - 1, (batch, length), generator=draw)
    words = torch.randint(2, length + 1, (batch,), generator=draw)
    mask = (torch.arange(length) < words[:, None]).long()
    return latents, codes, lengths, ids * mask, mask


@pytest.mark.parametrize("options", [PretrainingOptions(), RELEASED])
@pytest.mark.parametrize("batch", [1, 5])
def test_every_loss_is_finite_and_reaches_its_parameters(model, batch, options):
    losses = model.train()(*pairs(model.config, batch), options=options)
    total = losses.contrastive + losses.matching + losses.text_generation + losses.motion_generation
    assert torch.equal(losses.total, total) and losses.total.isfinite()
    losses.total.backward()
    unused = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    assert unused == {"condition_projection" if options == RELEASED else "text_projection"}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
