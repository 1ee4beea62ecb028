"""The four stages on the console, end to end on a data set of a few clips: train, cut, go on, pack, measure."""

import json

import numpy as np
import pytest
import torch

from lamp_fast.checkpoints.evaluator import Evaluator, load_evaluator
from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.cli.main import main
from lamp_fast.config import (
    PRESETS,
    EvaluatorConfig,
    GeneratorConfig,
    LampConfig,
    LanguageMotionConfig,
    LengthConfig,
    TokenizerConfig,
)
from lamp_fast.data import Clip, MotionDataset
from lamp_fast.models.evaluator import MotionTextEvaluator
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.training.evaluator import EvaluatorObjective

WORDS = "[PAD] [UNK] [CLS] [SEP] a person walks waves left right the hand with forward ##s [DEC]".split()
TINY = LampConfig(
    tokenizer=TokenizerConfig(width=8, code_dim=4, num_codes=8),
    language_motion=LanguageMotionConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=24,
        query_intermediate_size=24,
        max_positions=32,
        memory_width=12,
        code_dim=4,
        num_codes=8,
        embed_dim=8,
        max_text_tokens=16,
        max_pretraining_text_tokens=16,
    ),
    generator=GeneratorConfig(
        num_codes=8, code_dim=4, width=32, num_layers=1, num_heads=1, feedforward_size=16, condition_dim=16
    ),
    length=LengthConfig(condition_dim=16, hidden_size=8),
)
TEXTS = ["a person walks forward", "a person waves with the left hand"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    random = np.random.default_rng(0)
    pose = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        pose[joint] = (pose[parent] if joint else [0, 1, 0]) + np.asarray(HUMANML3D.offsets[joint])
    folder = tmp_path / "data"
    folder.mkdir()
    lengths = {"a": 40, "b": 70, "c": 33, "d": 260, "e": 50}
    arrays = {n: ((pose + random.normal(size=(t, 22, 3)) * 0.02) * 1000).astype(np.int16) for n, t in lengths.items()}
    np.savez(folder / "clips.npz", **arrays)
    records = [json.dumps({"id": n, "texts": [TEXTS[i % 2]]}) for i, n in enumerate(lengths)]
    (folder / "clips.jsonl").write_text("\n".join(records))
    (folder / "splits.json").write_text(json.dumps({"train": ["a", "b", "c", "d"], "val": ["e"], "test": ["b", "e"]}))
    model = tmp_path / "model"
    model.mkdir()
    (model / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return tmp_path


def train(folder, stage, *more, steps="4"):
    wordings = [] if stage == "tokenizer" else ["--wordings", "1"]
    words = ["train", stage, "--data", f"{folder}/data", "--folder", f"{folder}/model", "--preset", "tiny"]
    return main([*words, "--steps", steps, "--batch-size", "3", "--precision", "fp32", *wordings, *more])


def test_from_captured_joints_to_a_model(data, capsys):
    assert train(data, "tokenizer", "--windows", "16", "32") == 0
    assert train(data, "language-motion", "--from-scratch", "--matching-pairs", "2") == 0
    assert train(data, "generator") == 0
    assert train(data, "length") == 0
    for part in ("tokenizer", "language_motion", "generator", "length"):
        assert {"config.json", "model.safetensors", "metrics.jsonl"} <= {
            f.name for f in (data / "model" / part).iterdir()
        }

    assert main(["pack", f"{data}/model", f"{data}/packed", "--storage", "int8"]) == 0
    lamp = load_lamp(data / "packed")
    assert lamp.decode(lamp.encode(torch.zeros(1, 8, 263))).shape == (1, 8, 263)

    capsys.readouterr()
    for task, row, column in (
        ("tokenizer", f"{data}/packed, whole clips", "drift mm"),
        ("retrieval", "all, text to motion", "R@1"),
    ):
        assert main(["eval", task, "--model", f"{data}/packed", "--data", f"{data}/data", "--json"]) == 0
        assert np.isfinite(json.loads(capsys.readouterr().out)["measured"][row][column]["mean"])


def test_training_again_changes_nothing_and_other_words_are_refused(data, capsys):
    assert train(data, "tokenizer", "--windows", "16") == 0
    first = (data / "model" / "tokenizer" / "model.safetensors").read_bytes()
    assert train(data, "tokenizer", "--windows", "16") == 0
    assert (data / "model" / "tokenizer" / "model.safetensors").read_bytes() == first
    assert train(data, "tokenizer", "--windows", "16", steps="6") == 2
    assert "other steps" in capsys.readouterr().err
    assert train(data, "tokenizer", "--windows", "16", "32") == 2
    assert "other windows" in capsys.readouterr().err
    assert train(data, "tokenizer", "--windows", "16", "--no-mirror") == 2
    assert "other mirror" in capsys.readouterr().err


def test_released_objectives_train(data):
    assert train(data, "tokenizer", "--windows", "16") == 0
    assert train(data, "language-motion", "--from-scratch", "--released") == 0


@pytest.mark.parametrize("stage", ["language-motion", "generator", "length"])
def test_a_stage_without_the_one_before_gets_a_sentence(data, capsys, stage):
    assert train(data, stage) == 2
    assert str(data / "model") in capsys.readouterr().err


def test_an_evaluator_of_ones_own(data, tiny_folder, capsys):
    assert train(data, "evaluator", "--from-scratch", steps="2") == 0
    assert train(data, "evaluator", "--from-scratch", steps="2") == 0  # a finished run stays as it is
    folder = data / "model/evaluator"
    evaluator = load_evaluator(folder)
    assert evaluator.reads_pieces and evaluator.words == WORDS and evaluator.mean.any()
    losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in losses for value in line.values() if isinstance(value, float))

    options = ["--data", f"{data}/data", "--split", "train", "--model", str(tiny_folder), "--replications", "1"]
    options += ["--evaluator", str(folder), "--json"]
    capsys.readouterr()
    assert main(["eval", "generation", *options, "--multimodality-texts", "2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["evaluator"] == "an evaluator trained here" and "our own" in record["warnings"][0]
    assert main(["eval", "captioning", *options]) == 0


def test_the_evaluator_learns_which_text_is_whose():
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    motions = [np.tile(draw.normal(size=263), (40 + 4 * i, 1)).astype(np.float32) for i in range(4)]
    texts = ["a person walks", "the hand waves", "left", "right"]
    clips = [Clip(text, motion, (text,)) for text, motion in zip(texts, motions)]
    sizes = dict.fromkeys(("movement_hidden", "movement_dim", "motion_hidden", "text_hidden", "embed_dim"), 16)
    config = EvaluatorConfig(word_dim=8, num_parts_of_speech=1, dropout=0.0, **sizes)
    parts = torch.zeros(263), torch.ones(263), WORDS, torch.randn(len(WORDS), 8)
    dataset = MotionDataset(clips, HUMANML3D)
    objective = EvaluatorObjective(Evaluator(MotionTextEvaluator(config), *parts), dataset, dataset)
    optimizer = torch.optim.Adam(objective.model.parameters(), 1e-2)
    for step in range(40):
        losses = objective(objective.batch(torch.Generator().manual_seed(step), 4))
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert objective.eval().evaluate()["top1"] == 1
