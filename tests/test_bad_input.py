"""Whatever cannot be used gives one sentence, from Python and on the command line, and leaves nothing half-written."""

import json
import re
import shutil
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file

from lamp_fast import LampError, LampPipeline
from lamp_fast.cli.main import main
from lamp_fast.export import save

WALK = "a person walks"

REQUESTS = {
    "empty": ("", {}, "prompt is empty"),
    "whitespace": (" \t\n ", {}, "prompt is empty"),
    "10,000 words": ("walks " * 10_000, {}, "10002 tokens, the model reads at most 16"),
    "10,000 segments": ("walks, then " * 10_000, {}, "10000 segments, expected at most 100"),
    "Cyrillic": ("человек идёт вперёд", {}, "describe the motion in English"),
    "Japanese": ("人が前に歩く", {}, "describe the motion in English"),
    "Arabic": ("شخص يمشي", {}, "describe the motion in English"),
    "emoji": ("💃🕺👋🏽", {}, "describe the motion in English"),
    "digits of noise": ("@#$ %^& ()", {}, "describe the motion in English"),
    "zero seconds": (WALK, {"seconds": 0.0}, "above 0"),
    "negative seconds": (WALK, {"seconds": -2.0}, "above 0"),
    "NaN seconds": (WALK, {"seconds": float("nan")}, "above 0"),
    "endless": (WALK, {"seconds": float("inf")}, "above 0"),
    "an hour": (WALK, {"seconds": 3600.0}, "at most 2.4 s; for a longer motion give a list"),
    "no samples": (WALK, {"num_samples": 0}, "num_samples is 0"),
    "negative samples": (WALK, {"num_samples": -3}, "num_samples is -3"),
    "no steps": (WALK, {"num_inference_steps": 0}, "num_inference_steps is 0"),
    "NaN guidance": (WALK, {"guidance_scale": float("nan")}, "guidance_scale is nan"),
    "seed of 65 bits": (WALK, {"seed": 2**65}, "seed"),
}


def drop_tensor(folder):
    tensors = load_file(folder / "length/model.safetensors")
    del tensors["mlp.0.bias"]
    save_file(tensors, folder / "length/model.safetensors")


def reshape_tensor(folder):
    tensors = load_file(folder / "length/model.safetensors")
    save_file(tensors | {"mlp.0.bias": torch.zeros(3)}, folder / "length/model.safetensors")


def spoil_tensor(folder):
    tensors = load_file(folder / "length/model.safetensors")
    save_file(tensors | {"mlp.0.bias": tensors["mlp.0.bias"] * torch.nan}, folder / "length/model.safetensors")


def age(folder):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"format_version": 0}))


def pickle_inside(folder):
    torch.save({"mlp.0.bias": torch.zeros(16)}, folder / "length/model.safetensors")


def cut(folder):
    file = folder / "tokenizer/model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def into_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("not a folder")


MODELS = {
    "missing tensor": (drop_tensor, "length.model.safetensors lacks the tensor mlp.0.bias"),
    "wrong shape": (reshape_tensor, r"the tensor mlp.0.bias has shape \(3,\), expected \(16,\)"),
    "NaN": (spoil_tensor, "the tensor mlp.0.bias holds NaN"),
    "wrong version": (age, "format version 0"),
    "pickle": (pickle_inside, "is a pickle"),
    "cut short": (cut, "is damaged or cut short"),
    "empty folder": (lambda folder: [shutil.rmtree(folder), folder.mkdir()], "has no config.json"),
    "a file": (into_a_file, "expected a model folder"),
    "nothing": (shutil.rmtree, "expected a model folder"),
}

OUTPUTS = {
    "unknown suffix": ("motion.fbx", r"\.bvh .*\.npz .*\.gif .*\.png"),
    "no suffix": ("motion", "ends in one of"),
    "below a file": ("a-file/motion.bvh", "cannot write"),
    "a folder": ("a-folder.npz", "it is a folder"),
    "name too long": ("m" * 300 + ".gif", "cannot write"),
}


@pytest.fixture(scope="module")
def pipe(tiny_folder):
    return LampPipeline.from_pretrained(tiny_folder, device="cpu")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, which must hold the same files afterwards."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@contextmanager
def sentence(message):
    """Expect a `LampError` whose one sentence matches."""
    with pytest.raises(LampError, match=message) as raised:
        yield
    assert "\n" not in str(raised.value)


def refused(capsys, place, *arguments):
    """Run `lamp-fast generate`, expect its refusal and return the sentence."""
    before = sorted(place.rglob("*"))
    assert main(["generate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("lamp-fast: ") and err.count("\n") == 1
    assert sorted(place.rglob("*")) == before
    return err


@pytest.mark.parametrize("case", REQUESTS)
def test_request(case, pipe, tiny_folder, place, capsys):
    prompt, options, message = REQUESTS[case]
    with sentence(message):
        pipe(prompt, split_on_then=True, **options)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert re.search(message, refused(capsys, place, prompt, "--model", str(tiny_folder), *flags))


@pytest.mark.parametrize("case", MODELS)
def test_model(case, tiny_folder, place, capsys):
    spoil, message = MODELS[case]
    folder = place.parent / "model"
    shutil.copytree(tiny_folder, folder)
    spoil(folder)
    with sentence(message):
        LampPipeline.from_pretrained(folder)
    assert re.search(message, refused(capsys, place, WALK, "--model", str(folder)))


def test_unknown_model(place, capsys):
    with sentence(r"no model 'lamp-huge': .*\(lamp-mini\)"):
        LampPipeline.from_pretrained("lamp-huge")
    assert re.search("lamp-mini", refused(capsys, place, WALK, "--model", "lamp-huge"))


@pytest.mark.parametrize("case", OUTPUTS)
def test_output(case, pipe, tiny_folder, place, capsys):
    path, message = OUTPUTS[case]
    (place / "a-file").touch()
    (place / "a-folder.npz").mkdir()
    motion = pipe(WALK, seconds=1)
    with sentence(message):
        motion.save(path)
    # On the command line it is said before the model is even looked for.
    assert re.search(message, refused(capsys, place, WALK, "--model", "nothing here", "--output", path))


def test_several_motions_do_not_fit_a_file_of_one(pipe, place):
    for suffix in (".bvh", ".npz"):
        with sentence("holds one motion, 2 were given"):
            save(pipe(WALK, seconds=1, num_samples=2), place / f"motion{suffix}")
    assert not list(place.iterdir())


def test_sequences(tiny_folder, place, capsys):
    model = ["--model", str(tiny_folder)]
    error = refused(capsys, place, WALK, WALK, "--sequence", "--seconds", "1", "2", "3", *model)
    assert re.search("2 prompts, 3 --seconds", error)
    error = refused(capsys, place, WALK, WALK, "--seconds", "1", "2", *model)
    assert re.search("add --sequence", error)
