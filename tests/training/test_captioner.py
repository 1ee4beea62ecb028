"""`lamp-fast train captioner` on a tiny random language model: train, cut, go on, caption, refuse."""

import json
from functools import partial

import numpy as np
import pytest
from safetensors.torch import load_file

from lamp_fast import MotionCaptioner
from lamp_fast.cli.main import main
from lamp_fast.motion.skeleton import HUMANML3D

pytest.importorskip("peft")
TEXTS = ["a person walks forward", "a person waves with the left hand"]


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    pose = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        pose[joint] = (pose[parent] if joint else [0, 1, 0]) + np.asarray(HUMANML3D.offsets[joint])
    folder = tmp_path / "data"
    folder.mkdir()
    lengths = {"a": 40, "b": 70, "c": 33, "d": 50}
    # The second text's clips wave: one arm moves.
    arrays = {}
    for i, (name, frames) in enumerate(lengths.items()):
        joints = pose + random.normal(size=(frames, 22, 3)) * 0.02
        joints[:, 20] += i % 2 * np.sin(np.arange(frames))[:, None]
        arrays[name] = (joints * 1000).astype(np.int16)
    np.savez(folder / "clips.npz", **arrays)
    records = [json.dumps({"id": n, "texts": [TEXTS[i % 2]]}) for i, n in enumerate(lengths)]
    (folder / "clips.jsonl").write_text("\n".join(records))
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b", "c"], "val": ["d"], "test": ["d"]}))
    return tmp_path


@pytest.fixture
def train(data, tiny_folder, tiny_language_model):
    def run(name, *more, steps="6"):
        words = ["train", "captioner", "--data", f"{data}/data", "--folder", f"{data}/{name}", "--model"]
        words += [str(tiny_folder), "--language-model", str(tiny_language_model), "--steps", steps, "--batch-size", "2"]
        return main([*words, "--precision", "fp32", "--wordings", "1", "--learning-rate", "0.01", *more])

    return run


def test_train_and_caption(data, train, tiny_folder, tiny_language_model, capsys):
    assert train("captioner", steps="8") == 0
    lines = [json.loads(line) for line in (data / "captioner/metrics.jsonl").read_text().splitlines()]
    assert np.isfinite(lines[-1]["validation/loss"])
    saved = load_file(data / "captioner/model.safetensors")
    assert not any("embed_tokens" in name for name in saved)  # the language model itself is not copied

    with np.load(data / "data/clips.npz") as arrays:
        np.save(data / "clip.npy", arrays["d"].astype(np.float32) / 1000)
    capsys.readouterr()
    words = ["caption", str(data / "clip.npy"), "--model", str(tiny_folder), "--captioner", f"{data}/captioner"]
    assert main([*words, "--num-beams", "2"]) == 0
    said = capsys.readouterr().out.strip()
    captioner = MotionCaptioner.from_pretrained(tiny_folder, data / "captioner", device="cpu")
    assert said and captioner(data / "clip.npy", num_beams=2).text == said
    assert main([*words, "--language-model", f"{data}/gone"]) == 2
    assert "is no language model" in capsys.readouterr().err
    assert main([*words[:4], "--language-model", str(tiny_language_model)]) == 2
    assert "give the captioner too" in capsys.readouterr().err


def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(data, train, monkeypatch):
    from lamp_fast.training import loop

    assert train("whole") == 0
    write, count = loop.state.save, []
    monkeypatch.setattr(loop, "TrainingOptions", partial(loop.TrainingOptions, save_every=2))

    def cut(*arguments):
        write(*arguments)
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.state, "save", cut)
    assert train("cut") == 130
    monkeypatch.setattr(loop.state, "save", write)
    assert train("cut") == 0
    whole, again = (load_file(data / name / "model.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == again.keys() and all((whole[name] == again[name]).all() for name in whole)


def test_what_cannot_be_trained_gets_a_sentence(data, train, capsys):
    assert train("captioner", "--language-model", f"{data}/gone") == 2
    assert "is no language model" in capsys.readouterr().err
    assert train("captioner", "--data", f"{data}/gone") == 2
    assert "holds no data set" in capsys.readouterr().err
    assert train("captioner", steps="2") == 0
    assert train("captioner", "--prompt", "a man is", steps="2") == 2
    assert "other prompt" in capsys.readouterr().err


def test_a_projection_starts_with_what_the_motion_says(tiny_lamp, tiny_language_model):
    """Of two kinds of motion with a text each, every query says the mean of its text's words before any training."""
    import torch

    from lamp_fast.checkpoints.captioner import open_language_model
    from lamp_fast.config import CaptionerConfig
    from lamp_fast.data.encoded import EncodedClip
    from lamp_fast.models.llm_captioner import LlmCaptioner
    from lamp_fast.training.captioner import start_projection

    config = CaptionerConfig(tiny_lamp.config.language_motion, str(tiny_language_model))
    captioner = LlmCaptioner(config, *open_language_model(tiny_language_model)).eval()
    captioner.language_motion.load_state_dict(tiny_lamp.language_motion.state_dict())
    draw = torch.Generator().manual_seed(0)
    kinds = torch.randn(2, 1, 16, generator=draw).mul(3).expand(-1, 7, -1)
    latents = [kinds[i % 2] + 0.1 * torch.randn(7, 16, generator=draw) for i in range(12)]
    start_projection(captioner, [EncodedClip(x, torch.zeros(7).long(), (TEXTS[i % 2],)) for i, x in enumerate(latents)])

    ids, mask = captioner.tokenize(TEXTS)
    words = captioner.llm.get_input_embeddings()(ids) * mask[..., None]
    wanted = (words.sum(1) / mask.sum(1, keepdim=True))[:, None]
    with torch.no_grad():
        said = captioner.prefix(torch.stack(latents[:2]), None)
    assert ((said - wanted).norm(dim=-1) < 0.3 * (wanted[0] - wanted[1]).norm()).all()
