"""A language model that reads motion: the released numbers, and what holds for any language model."""

import shutil

import pytest
import torch

from lamp_fast import LampError
from lamp_fast.checkpoints.captioner import load_captioner, open_language_model, save_captioner
from lamp_fast.checkpoints.released import captioner as released
from lamp_fast.checkpoints.released.convert import Options, convert_released
from lamp_fast.checkpoints.released.tokenizer import convert_encoder
from lamp_fast.config import CaptionerConfig, TokenizerConfig
from lamp_fast.models.captioning import CaptionOptions, write_captions
from lamp_fast.models.llm_captioner import LlmCaptioner
from lamp_fast.models.tokenizer import MotionEncoder

pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

LENGTHS = torch.tensor([12, 7, 1])
TEXTS = ["a person walks", "a person waves with the left hand"]


@pytest.fixture
def fixture(golden):
    return golden("captioning")


@pytest.fixture
def weights(fixture):
    return fixture.state_dict("trans")


@pytest.fixture
def model(fixture, weights):
    import dataclasses

    config = released.config_from_released(weights, num_heads=fixture.config["qformer"]["heads"])
    config = dataclasses.replace(config, max_words=fixture.config["max_new_tokens"])
    words = transformers.AutoTokenizer.from_pretrained(fixture.folder / "opt_tokenizer", local_files_only=True)
    llm = released.language_model(weights, fixture.config["opt"]["num_attention_heads"])
    model = LlmCaptioner(config, llm, words).eval()
    model.load_state_dict(released.convert(weights))
    return model


@pytest.fixture
def latents(fixture, weights):
    vq = fixture.config["vq"]
    config = TokenizerConfig(fixture["motion"].shape[-1], vq["width"], vq["code_dim"], down_blocks=vq["down_t"])
    encoder = MotionEncoder(config).eval()
    encoder.load_state_dict({f"encoder.{name}": tensor for name, tensor in convert_encoder(weights).items()})
    return encoder.encode(fixture["motion"])


@torch.no_grad()
def test_loading_says_nothing_on_stderr(tiny_language_model, capfd):
    open_language_model(tiny_language_model)
    assert capfd.readouterr().err == ""


def test_prefix_prompt_and_loss(fixture, model, latents):
    fixture.check("enc", latents)
    fixture.check("motion_embeds", model.language_motion.motion_projection(latents))
    fixture.check("query_hidden", model.language_motion.encode_motion(latents, None))
    prefix = model.prefix(latents, None)
    fixture.check("prefix", prefix)
    fixture.check("prompt_ids", torch.tensor(model.prompt_ids).expand(len(latents), -1))
    prompted = model.embed(prefix, fixture["prompt_ids"])
    fixture.check("prompt_logits", model.llm(inputs_embeds=prompted).logits)
    ids, mask = model.tokenize(fixture.config["train_texts"])
    fixture.check("train_input_ids", ids)
    fixture.check("train_attention_mask", mask)
    fixture.check("train_loss", model.loss(latents, None, ids, mask))
    queries, words = prefix.shape[1], ids.shape[1]
    expected = fixture["train_logits"][:, queries - 1 : queries + words - 1]
    atol = fixture.meta["tensors"]["train_logits"]["atol"]
    torch.testing.assert_close(model(latents, None, ids, mask), expected, atol=atol, rtol=0)


@pytest.mark.parametrize("name, beams", [("greedy", 1), ("beam5", 5)])
def test_released_captions(fixture, model, latents, name, beams):
    ids, scores = write_captions(model, latents, None, CaptionOptions(num_beams=beams))
    expected = fixture[f"{name}_ids"]
    for own, theirs in zip(ids.tolist(), expected.tolist(), strict=True):
        end = theirs.index(fixture.scalars["eos_token_id"]) + 1
        assert own[:end] == theirs[:end] and set(own[end:]) <= {model.end_id}
    assert model.decode(ids) == fixture.scalars["decoded"][name]
    if beams > 1:
        best = fixture["beam5_all_scores"].view(len(ids), -1)[:, 0]
        torch.testing.assert_close(scores, best, atol=fixture.meta["tensors"]["beam5_all_scores"]["atol"], rtol=0)


def test_both_styles_of_peft(weights):
    newer = {
        name.replace("q_proj.weight", "q_proj.base_layer.weight").replace("v_proj.bias", "v_proj.base_layer.bias"): t
        for name, t in weights.items()
    }
    older, newer = (released.language_model(w, 4).state_dict() for w in (weights, newer))
    assert older.keys() == newer.keys() and all(torch.equal(older[name], newer[name]) for name in older)


@torch.no_grad()
def test_convert(fixture, latents, tmp_path, capsys):
    from lamp_fast.cli.main import main

    sizes = fixture.config["qformer"]["heads"], fixture.config["opt"]["num_attention_heads"]
    checkpoint = str(fixture.folder / fixture.meta["checkpoints"][0]["file"])
    words = ["convert", checkpoint, "--output", str(tmp_path / "m2t")]
    words += ["--language-motion-heads", str(sizes[0]), "--language-model-heads", str(sizes[1])]
    assert main(words) == 2
    assert "opt2.7b is no folder" in capsys.readouterr().err and not (tmp_path / "m2t").exists()
    assert main([*words, "--language-model", str(fixture.folder / "opt_tokenizer")]) == 0
    out = capsys.readouterr().out
    assert "LaMP-M2T" in out and "never used" in out and "left over" not in out
    assert main([*words, "--language-model", str(fixture.folder / "opt_tokenizer")]) == 0  # again, in its place
    converted = load_captioner(tmp_path / "m2t")
    ids, mask = converted.tokenize(fixture.config["train_texts"])
    fixture.check("train_input_ids", ids)
    fixture.check("prefix", converted.prefix(latents, None))
    fixture.check("train_loss", converted.loss(latents, None, ids, mask))


LAYER = "llm.base_model.model.model.decoder.layers.0."
SPOILT = {
    LAYER + "fc1.weight": None,
    LAYER + "fc2.weight": None,
    LAYER + "self_attn.k_proj.weight": torch.zeros(3),
    "llm.base_model.model.model.decoder.embed_tokens.weight": torch.zeros(3),
    "Qformer.bert.encoder.layer.0.crossattention.self.key.weight": None,
    "opt_proj.bias": None,
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_release_gets_a_sentence(name, fixture, weights, tmp_path):
    spoilt = {key: tensor for key, tensor in weights.items() if key != name}
    spoilt |= {} if SPOILT[name] is None else {name: SPOILT[name]}
    torch.save({"trans": spoilt}, tmp_path / "m2t.pth")
    heads = fixture.config["qformer"]["heads"], fixture.config["opt"]["num_attention_heads"]
    words = {"language_model": fixture.folder / "opt_tokenizer"}
    for sizes in (heads, (heads[0], 0)):
        options = Options(sizes[0], language_model_heads=sizes[1])
        with pytest.raises(LampError) as raised:
            convert_released([tmp_path / "m2t.pth"], tmp_path / "m", **words, options=options)
        assert "\n" not in str(raised.value) and not (tmp_path / "m").exists()


@pytest.fixture
def captioner(tiny_lamp, tiny_language_model):
    config = CaptionerConfig(tiny_lamp.config.language_motion, str(tiny_language_model), max_words=9, lora_rank=4)
    torch.manual_seed(0)
    model = LlmCaptioner(config, *open_language_model(tiny_language_model)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.trained():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


@pytest.fixture
def own_latents():
    return torch.randn(3, 12, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 3}, {"sample": True}], ids=str)
def test_a_text_does_not_depend_on_its_batch_mates(captioner, own_latents, options):
    options = CaptionOptions(**options)
    together, _ = write_captions(captioner, own_latents, LENGTHS, options, seed=2)
    for i, length in enumerate(LENGTHS.tolist()):
        samples = torch.tensor([i])
        alone, _ = write_captions(
            captioner, own_latents[i : i + 1, :length], LENGTHS[i : i + 1], options, seed=2, samples=samples
        )
        assert torch.equal(alone[0], together[i, : alone.shape[1]])


def test_a_loss_does_not_depend_on_padding(captioner, own_latents):
    ids, mask = captioner.tokenize(TEXTS)
    words = mask.sum(1)
    with torch.no_grad():
        together = captioner.loss(own_latents[:2], LENGTHS[:2], ids, mask)
        alone = [
            captioner.loss(own_latents[i : i + 1, :n], LENGTHS[i : i + 1], ids[i : i + 1, :w], mask[i : i + 1, :w]) * w
            for i, (n, w) in enumerate(zip(LENGTHS.tolist(), words.tolist()))
        ]
    torch.testing.assert_close(together, sum(alone) / words.sum(), atol=1e-5, rtol=0)  # rounding of another batch


def test_what_is_trained(captioner, own_latents):
    captioner.train().loss(own_latents[:2], LENGTHS[:2], *captioner.tokenize(TEXTS)).backward()
    moved = {name for name, p in captioner.named_parameters() if p.grad is not None}
    assert moved == captioner.trained() == set(captioner.state_dict())
    assert {name.split(".")[0] for name in moved} == {"language_motion", "projection", "llm"}
    assert all(".lora_" in name for name in moved if name.startswith("llm."))


def test_on_disk(captioner, own_latents, tmp_path):
    save_captioner(tmp_path, captioner)
    again = load_captioner(tmp_path)
    assert again.config == captioner.config
    for ours, theirs in zip(
        write_captions(captioner, own_latents, LENGTHS), write_captions(again, own_latents, LENGTHS)
    ):
        assert torch.equal(ours, theirs)


def test_what_cannot_be_used_gets_a_sentence(captioner, tiny_lamp, tiny_language_model, tmp_path):
    def refused(message, call, *arguments):
        with pytest.raises(LampError, match=message) as raised:
            call(*arguments)
        assert "\n" not in str(raised.value)

    refused("is no language model", open_language_model, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    refused("no weights in safetensors", open_language_model, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    refused("holds no tokenizer that can be opened", open_language_model, tmp_path)
    shutil.copytree(tiny_language_model, tmp_path / "llm")
    (tmp_path / "llm/model.safetensors").write_bytes(b"nothing")
    refused("cannot be opened as a causal language model", open_language_model, tmp_path / "llm")
    read = tiny_lamp.config.language_motion
    for config, message in (
        (CaptionerConfig(read, lora_targets=("nowhere",)), "cannot be given LoRA at nowhere"),
        (CaptionerConfig(read, max_words=100), "need 112 positions, the language model has 64"),
    ):
        refused(message, LlmCaptioner, config, *open_language_model(tiny_language_model))
    save_captioner(tmp_path / "saved", captioner)
    refused("is no language model", load_captioner, tmp_path / "saved", "cpu", tmp_path / "gone")
    refused("no released captioner", released.config_from_released, {})
