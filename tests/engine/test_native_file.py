"""The file of the native core: what it holds, and that it is what the engine computes with."""

import json

import pytest
import torch
from safetensors import safe_open

from lamp_fast import LampError
from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.cli.main import main
from lamp_fast.engine.generator import FusedGenerator
from lamp_fast.engine.layers import Precision
from lamp_fast.engine.native_file import STORAGES, native_bytes, native_config, native_tensors, write_native


@pytest.mark.parametrize("storage", STORAGES)
def test_safetensors_reads_it(tiny_lamp, tmp_path, storage):
    file = tmp_path / "model.safetensors"
    write_native(file, tiny_lamp, storage)
    assert file.read_bytes() == native_bytes(tiny_lamp, storage)
    expected = native_tensors(tiny_lamp, storage)
    with safe_open(file, "pt") as stored:
        assert json.loads(stored.metadata()["lamp_fast"]) == native_config(tiny_lamp)
        assert set(stored.keys()) == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(stored.get_tensor(name), tensor), name
    header = int.from_bytes(file.read_bytes()[:8], "little")
    assert (8 + header) % 64 == 0


def test_storages_differ_by_their_rounding_alone(tiny_lamp):
    exact = native_tensors(tiny_lamp, "f32")
    bf16, int8 = native_tensors(tiny_lamp, "bf16"), native_tensors(tiny_lamp, "int8")
    assert bf16.keys() == exact.keys() and int8.keys() >= exact.keys()
    for name, tensor in exact.items():
        if not name.endswith(".weight"):
            assert torch.equal(bf16[name], tensor) and torch.equal(int8[name], tensor), name
            continue
        torch.testing.assert_close(bf16[name].float(), tensor, atol=0, rtol=2**-8)
        if int8[name].dtype == torch.int8:
            scale = int8[name.replace(".weight", ".scale")]
            scale = scale.reshape(*scale.shape, *[1] * (tensor.ndim - scale.ndim))
            assert ((int8[name] * scale - tensor).abs() <= 0.5001 * scale).all(), name


def test_weights_are_the_engines(tiny_lamp):
    engine, tensors = FusedGenerator(tiny_lamp.generator, Precision(torch.float32)), native_tensors(tiny_lamp)
    assert torch.equal(tensors["generator.table.weight"], engine.table)
    assert torch.equal(tensors["generator.1.qkv.weight"], engine.attentions[0].project.weight)
    assert torch.equal(tensors["generator.1.qkv.bias"], engine.attentions[0].project.bias)
    assert torch.equal(tensors["generator.1.contract.norm_shift"], engine.feed_forwards[1].contract.shift)
    assert "generator.0.qkv.weight" not in tensors and "generator.0.attention_output.norm_scale" not in tensors


def test_lacking_parts(tiny_lamp):
    from dataclasses import replace

    from lamp_fast.models.lamp import Lamp

    config = replace(tiny_lamp.config, generator=None, length=None, reads_motion=False)
    lamp = Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean, tiny_lamp.std)
    described, tensors = native_config(lamp), native_tensors(lamp)
    assert described["generator"] is None and described["length"] is None and not described["reads_motions"]
    parts = {name.split(".")[0] for name in tensors}
    assert parts == {"vocabulary", "statistics", "codebook", "text", "queries", "encoder", "decoder"}


def test_bad_input(tiny_lamp, tmp_path):
    with pytest.raises(LampError, match="storage is 'fp16'"):
        native_bytes(tiny_lamp, "fp16")
    with pytest.raises(LampError, match="it is a folder"):
        write_native(tmp_path, tiny_lamp)
    bias = tiny_lamp.tokenizer.decoder.output.bias
    with torch.no_grad():
        before, bias[0] = bias[0].item(), torch.nan
        with pytest.raises(LampError, match="decoder.output.bias holds NaN"):
            native_bytes(tiny_lamp)
        bias[0] = before


def test_command(tmp_path, capsys):
    file = tmp_path / "mini.safetensors"
    assert main(["export", "native", "lamp-mini", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 26.3 MB\n"
    with safe_open(file, "pt") as stored:
        # lamp-mini is stored as int8: what is not multiplied with another weight comes through as it was.
        words = stored.get_tensor("text.words.weight") * stored.get_tensor("text.words.scale")[:, None]
    assert torch.equal(words, load_lamp("lamp-mini").language_motion.word_embeddings.weight)
