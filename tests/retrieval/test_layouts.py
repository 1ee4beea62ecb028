"""HumanML3D and KIT-ML in their official layout on disk: indexed, searched, shown."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from lamp_fast import LampError, MotionRetriever
from lamp_fast.checkpoints.folder import save_lamp
from lamp_fast.cli.main import main
from lamp_fast.models.lamp import Lamp

TEXTS = ("a person walks forward", "the person waves with the right hand", "a person turns left")
LAYOUTS = {"humanml3d": (263, 22), "kit": (251, 21)}


@pytest.fixture(params=LAYOUTS)
def layout(request, tiny_lamp, tmp_path):
    """-> (data set, model, features a frame, joints)."""
    width, joints = LAYOUTS[request.param]
    tokenizer = dataclasses.replace(tiny_lamp.config.tokenizer, feature_dim=width)
    config = dataclasses.replace(tiny_lamp.config, dataset=request.param, tokenizer=tokenizer)
    torch.manual_seed(0)
    lamp = Lamp(config, tiny_lamp.text_tokenizer, torch.zeros(width), torch.ones(width))
    torch.nn.init.normal_(lamp.tokenizer.codebook.vectors)
    save_lamp(tmp_path / "model", lamp)

    data, draw = tmp_path / "data", np.random.default_rng(0)
    for name in ("new_joint_vecs", "texts"):
        (data / name).mkdir(parents=True)
    for name, value in (("Mean", np.zeros), ("Std", np.ones)):
        np.save(data / f"{name}.npy", value(width, np.float32))
    names = [f"{i:06d}" for i in range(5)] + ["M000001"]
    for i, name in enumerate(names):
        np.save(data / "new_joint_vecs" / f"{name}.npy", draw.normal(size=(44 + 8 * i, width)).astype(np.float32))
        part = "a person waves#person/NOUN waves/VERB#0.0#2.5\n" if i == 3 else ""
        (data / "texts" / f"{name}.txt").write_text(f"{TEXTS[i % 3]}#a/DET person/NOUN#0.0#0.0\n{part}")
    (data / "train.txt").write_text("\n".join(names[:2]) + "\n")
    (data / "test.txt").write_text("\n".join([*names[2:], "missing"]) + "\n")
    return data, tmp_path / "model", width, joints


def test_indexed_and_searched(layout, tmp_path, capsys, monkeypatch):
    data, model, width, joints = layout
    monkeypatch.chdir(tmp_path)
    assert main(["index", str(data), "--split", "test", "--model", str(model)]) == 0
    capsys.readouterr()
    assert main(["search", "a person waves", "--model", str(model), "--json", "--page", "found.html"]) == 0
    matches = json.loads(capsys.readouterr().out)["matches"]
    # Four motions, one of which has a text for its first 2.5 s alone.
    assert {match["clip"].split("#")[-1] for match in matches} >= {"000002", "000004", "M000001"} and len(matches) == 5
    assert all(match["texts"] for match in matches) and (tmp_path / "found.html").stat().st_size > 1000

    retriever = MotionRetriever.from_pretrained(model)
    index = retriever.open(tmp_path / "lamp-index")
    motion = np.load(data / "new_joint_vecs" / "000004.npy")
    best = index.search(motion, k=1)[0]
    assert "000004" in best.clip and best.score == pytest.approx(1, abs=1e-4)  # float32
    assert index.preview(best).shape[1:] == (joints, 3)
    assert index.texts(motion, k=3)
    with pytest.raises(LampError):
        index.search(np.zeros((40, width + 12), np.float32))


def test_every_split_and_once_more(layout, tmp_path):
    data, model, *_ = layout
    retriever = MotionRetriever.from_pretrained(model)
    first = retriever.update(data, tmp_path / "index")
    again = retriever.update(data, tmp_path / "index")
    assert len(retriever.open(tmp_path / "index")) == 7
    assert first.encoded == 7 and again.encoded == 0 and again.unchanged == 7
