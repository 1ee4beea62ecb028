import dataclasses
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lamp_fast import LampError, LampPipeline
from lamp_fast.checkpoints.folder import BUNDLED, find_lamp, load_lamp, load_model, save_lamp, save_model
from lamp_fast.checkpoints.weights import dequantize_int8, quantize_int8
from lamp_fast.engine import LampEngine
from lamp_fast.models.lamp import Lamp

PARTS = ("tokenizer", "language_motion", "generator", "length")
INT8 = dict.fromkeys(PARTS, "int8")


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def assert_same(a, b, **tolerance):
    assert a.state_dict().keys() == b.state_dict().keys()
    for name, tensor in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], tensor, **{"rtol": 0, "atol": 0, **tolerance}, msg=name)


def test_a_complete_model_comes_back(tiny_lamp, tiny_folder):
    loaded = load_lamp(tiny_folder)
    assert_same(tiny_lamp, loaded)
    assert loaded.config == tiny_lamp.config and not loaded.training
    assert loaded.text_tokenizer.pieces == tiny_lamp.text_tokenizer.pieces
    assert {p.name for p in tiny_folder.iterdir()} == {
        *("config.json", "vocab.txt", "statistics.safetensors", "README.md"),
        *PARTS,
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_part_comes_back(part, tiny_lamp, tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "metrics.jsonl").touch()
    save_model(tmp_path / "part", getattr(tiny_lamp, part))
    loaded = load_model(tmp_path / "part")
    assert_same(getattr(tiny_lamp, part), loaded)
    assert loaded.config == getattr(tiny_lamp, part).config and not loaded.training
    assert {p.name for p in (tmp_path / "part").iterdir()} == {"config.json", "model.safetensors", "metrics.jsonl"}


def test_fp16(tiny_lamp, tmp_path):
    save_lamp(tmp_path / "m", tiny_lamp, "fp16")
    # Half of a unit in the 11th bit.
    assert_same(tiny_lamp, load_lamp(tmp_path / "m"), rtol=2**-11, atol=1e-7)
    codebook = load_file(tmp_path / "m/tokenizer/model.safetensors")["codebook.vectors"]
    assert codebook.dtype == torch.float32


def test_int8_is_chosen_by_part(tiny_lamp, tmp_path):
    save_lamp(tmp_path / "m", tiny_lamp, {"generator": "int8"})
    stored = load_file(tmp_path / "m/generator/model.safetensors")
    weight = tiny_lamp.generator.layers[0].ff1.weight
    assert stored["layers.0.ff1.weight"].dtype == torch.int8
    assert stored["layers.0.ff1.weight.scale"].shape == weight.shape[:1]
    assert stored["layers.0.ff1.bias"].dtype == stored["layers.0.norm1.weight"].dtype == torch.float16
    loaded = load_lamp(tmp_path / "m")
    assert_same(tiny_lamp.tokenizer, loaded.tokenizer)
    error = (loaded.generator.layers[0].ff1.weight - weight).abs().amax(1)
    assert (error <= weight.abs().amax(1) / 254 * 1.001).all()  # half a step of 1/127 of the largest in the row


def test_int8_shrinks_to_a_quarter(tiny_lamp, tmp_path):
    for storage in ("fp32", "int8"):
        save_lamp(tmp_path / storage, tiny_lamp, storage)
    sizes = [(tmp_path / s / "tokenizer/model.safetensors").stat().st_size for s in ("fp32", "int8")]
    assert sizes[1] < 0.3 * sizes[0]


@pytest.mark.parametrize("shape", [(1, 1), (7, 63), (3, 5, 4)])
def test_int8_round_trip(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    stored, scale = quantize_int8(weight)
    restored = dequantize_int8(stored, scale)
    assert not restored[0].any()
    assert ((restored - weight).abs().flatten(1).amax(1) <= scale / 2 * 1.001).all()


def test_saving_again_replaces_the_model(tiny_lamp, folder):
    save_lamp(folder, tiny_lamp, "fp16", card="my card", licence="my terms")
    assert (folder / "README.md").read_text() == "my card" and (folder / "LICENSE").read_text() == "my terms"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_folder_with_other_files_is_not_replaced(tiny_lamp, folder):
    (folder / "thesis.tex").touch()
    with pytest.raises(LampError, match="thesis.tex"):
        save_lamp(folder, tiny_lamp)
    assert (folder / "thesis.tex").exists() and (folder / "config.json").exists()


def test_weights_that_are_not_finite_are_not_saved(tiny_lamp, tmp_path):
    weight = tiny_lamp.length.mlp[0].weight.data
    before = weight[0, 0].item()
    weight[0, 0] = torch.nan
    try:
        with pytest.raises(LampError, match="mlp.0.weight holds NaN"):
            save_lamp(tmp_path / "m", tiny_lamp)
    finally:
        weight[0, 0] = before
    assert list(tmp_path.iterdir()) == []


def edit_config(folder, **changes):
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))


def edit_weights(folder, change):
    file = folder / "generator/model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def swap(name, tensor):
    return lambda folder: edit_weights(folder, lambda tensors: tensors.update({name: tensor}))


def cut(folder):
    file = folder / "generator/model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def only_a_pickle(folder):
    (folder / "generator/model.safetensors").rename(folder / "generator/best.tar")


class Trap:
    """A pickle that would create a file when opened."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def pickled(folder):
    (folder / "generator/model.safetensors").write_bytes(pickle.dumps(Trap(folder / "trapped")))


def torch_saved(folder):
    torch.save({"head.dense.bias": torch.zeros(3)}, folder / "generator/model.safetensors")


def bad_size(folder):
    values = json.loads((folder / "config.json").read_text())
    values["config"]["generator"]["num_heads"] = 0
    edit_config(folder, **values)


SPOILS = {
    "missing tensor": (lambda f: edit_weights(f, lambda t: t.pop("head.dense.bias")), "lacks the tensor head.dense"),
    "extra tensor": (swap("extra", torch.zeros(1)), "holds the tensor extra"),
    "wrong shape": (swap("head.dense.bias", torch.zeros(5)), r"head.dense.bias has shape \(5,\), expected \(32,\)"),
    "wrong dtype": (swap("head.dense.bias", torch.zeros(32, dtype=torch.int64)), "head.dense.bias is torch.int64"),
    "NaN": (swap("head.dense.bias", torch.full((32,), torch.nan)), "head.dense.bias holds NaN"),
    "int8 without scale": (swap("head.dense.bias", torch.zeros(32, dtype=torch.int8)), "head.dense.bias.scale"),
    "wrong version": (lambda f: edit_config(f, format_version=99), "format version 99"),
    "wrong kind": (lambda f: edit_config(f, model_type="bert"), "describes a 'bert'"),
    "unknown option": (lambda f: edit_config(f, config={"colour": 1}), "no field colour"),
    "impossible size": (bad_size, "config.json does not describe"),
    "not JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not the configuration"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "no vocabulary": (lambda f: (f / "vocab.txt").unlink(), "vocab.txt cannot be read"),
    "other vocabulary": (lambda f: (f / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]"), "has 5 words"),
    "no statistics": (lambda f: (f / "statistics.safetensors").unlink(), "no file .*statistics.safetensors"),
    "other statistics": (
        lambda f: save_file({"mean": torch.zeros(263)}, f / "statistics.safetensors"),
        "expected mean and std",
    ),
    "no weights": (lambda f: shutil.rmtree(f / "length"), "no file .*length.model.safetensors"),
    "cut": (cut, "generator.model.safetensors is damaged or cut short"),
    "empty": (lambda f: (f / "generator/model.safetensors").write_bytes(b""), "is damaged or cut short"),
    "pickle": (pickled, "is a pickle"),
    "torch.save": (torch_saved, "is a pickle"),
    "only a pickle": (only_a_pickle, "best.tar is a pickle"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_does_not_fit_is_named_in_one_sentence(spoil, folder):
    change, message = SPOILS[spoil]
    change(folder)
    with pytest.raises(LampError, match=message) as raised:
        load_lamp(folder)
    assert "\n" not in str(raised.value) and ";" in str(raised.value)
    assert not (folder / "trapped").exists()


@pytest.mark.parametrize("name", ["no-such-model", "no/such/folder", "a-file", ""])
def test_unknown_models(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    with pytest.raises(LampError, match="lamp-mini|not a model folder"):
        load_lamp(name)


def test_bundled_names_point_into_the_package():
    for name in BUNDLED:
        assert find_lamp(name).parts[-3:] == ("lamp_fast", "assets", name)


def test_something_else_is_not_a_part(tmp_path):
    with pytest.raises(LampError, match="not a part of LaMP"):
        save_model(tmp_path / "m", torch.nn.Linear(1, 1))


def test_a_model_without_generator_and_length(tiny_lamp, tmp_path):
    config = dataclasses.replace(
        tiny_lamp.config, generator=None, length=None, motion_encoder=tiny_lamp.config.tokenizer, reads_motion=True
    )
    reader = Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean, tiny_lamp.std).eval()
    save_lamp(tmp_path / "m", reader)
    loaded = load_lamp(tmp_path / "m")
    assert_same(reader, loaded)
    assert loaded.config == config and not (tmp_path / "m/generator").exists()
    with pytest.raises(LampError, match="no generator"):
        LampEngine(loaded)


def test_a_model_that_predicts_no_lengths(tiny_lamp):
    maker = Lamp(
        dataclasses.replace(tiny_lamp.config, length=None, reads_motion=False),
        tiny_lamp.text_tokenizer,
        tiny_lamp.mean,
        tiny_lamp.std,
    )
    assert len(LampPipeline(maker)("a person walks", seconds=1.0).features) == 20
    with pytest.raises(LampError, match="give the seconds"):
        LampPipeline(maker)("a person walks")
    with pytest.raises(LampError, match="reads none"):
        maker.read_motions([torch.zeros(8, 263)])


def test_statistics_must_fit(folder):
    for mean, std in ((torch.zeros(7), torch.ones(263)), (torch.zeros(263), torch.zeros(263))):
        save_file({"mean": mean, "std": std}, folder / "statistics.safetensors")
        with pytest.raises(LampError, match="features"):
            load_lamp(folder)
