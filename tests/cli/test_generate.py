from pathlib import Path

import numpy as np
import pytest

import lamp_fast
from lamp_fast import LampPipeline
from lamp_fast.cli.generate import _files, _slug
from lamp_fast.cli.main import main
from lamp_fast.motion.feet import sliding
from lamp_fast.readers.clip import read_clip


@pytest.fixture
def generate(tiny_folder, tmp_path, monkeypatch, capsys):
    """Run `lamp-fast generate` in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        assert main(["generate", "--model", str(tiny_folder), "--device", "cpu", *arguments]) == 0
        return capsys.readouterr().out

    return run


def written(tmp_path):
    return sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())


def test_default_files(generate, tmp_path):
    out = generate("a person walks forward, then waves", "--seconds", "2")
    names = [f"outputs/a-person-walks-forward-then-waves{s}" for s in (".bvh", ".gif", ".npz")]
    assert written(tmp_path) == names
    assert all(name in out for name in names)
    for stage in ("model", "text", "tokens", "features", "joints", ".bvh", ".gif"):
        assert f"{stage} " in out and " ms" in out
    with np.load(tmp_path / names[2]) as arrays:
        assert arrays["joints"].shape == (40, 22, 3) and arrays["fps"] == 20 and arrays["seed"] == 0
        assert sorted(set(arrays["frame_prompts"])) == ["a person walks forward", "a person waves"]


def test_same_words_as_the_pipeline(generate, tmp_path):
    options = ("--seconds=1", "--seed=4", "--num-inference-steps=3", "--guidance-scale=2")
    generate("a person walks", *options, "--output", "a.npz")
    generate("a person walks", *options, "--output", "b.npz")
    generate("a person walks", *options[:1], "--output", "c.npz")
    a, b, c = (np.load(tmp_path / f"{name}.npz")["tokens"] for name in "abc")
    assert (a == b).all() and (a != c).any()


def test_several_motions(generate, tmp_path):
    generate("a person walks", "the person waves", "--seconds=1", "--num-samples=2", "--output", "m.gif", "m.bvh")
    assert written(tmp_path) == ["m-1.bvh", "m-2.bvh", "m-3.bvh", "m-4.bvh", "m.gif"]


def test_sequence(generate, tmp_path):
    generate("a person walks", "the person waves", "--sequence", "--seconds", "2", "1.2", "--output", "m.npz", "m.png")
    assert written(tmp_path) == ["m.npz", "m.png"]
    assert len(np.load(tmp_path / "m.npz")["features"]) == 64


def test_no_split_on_then(generate, tmp_path):
    generate("a person walks, then waves", "--no-split-on-then", "--seconds=1", "--output", "m.npz")
    assert set(np.load(tmp_path / "m.npz")["frame_prompts"]) == {"a person walks, then waves"}


def test_names_of_files():
    assert _slug("A person's 2 steps!  Forward…") == "a-person-s-2-steps-forward"
    assert _slug("💃") == "motion" and len(_slug("walk " * 100)) <= 60
    assert [str(p) for p, _ in _files(["walk", "walk"], None)][::3] == ["outputs/walk-1.bvh", "outputs/walk-2.bvh"]


def test_feet_are_locked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if not (Path(lamp_fast.__file__).parent / "assets/lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    assert main(["generate", "a person walks", "--seconds", "2", "--foot-lock", "--output", "m.glb"]) == 0
    assert "% less" in capsys.readouterr().out
    free = LampPipeline.from_pretrained("lamp-mini", device="cpu")("a person walks", 2.0).clip
    assert sliding(read_clip("m.glb")) < 0.4 * sliding(free)
