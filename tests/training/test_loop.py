"""A run that is cut anywhere goes on to the same result."""

import json

import numpy as np
import pytest
import torch

from lamp_fast.config import TokenizerConfig
from lamp_fast.data import Clip, MotionDataset
from lamp_fast.errors import LampError
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.training.loop import PRETRAINED_SHARE, TrainingOptions, learning_rate, step_seed, train
from lamp_fast.training.tokenizer import TokenizerObjective

CONFIG = TokenizerConfig(width=8, code_dim=4, num_codes=8, dropout=0.2)
OPTIONS = TrainingOptions(
    steps=9, batch_size=2, learning_rate=1e-3, warmup=2, log_every=2, save_every=2, evaluate_every=4
)


def dataset() -> MotionDataset:
    random = np.random.default_rng(0)
    clips = [
        Clip(f"clip{i}", random.normal(size=(n, 263)).astype(np.float32), ("walk",)) for i, n in enumerate([16, 23, 40])
    ]
    return MotionDataset(clips, HUMANML3D)


def objective() -> TokenizerObjective:
    torch.manual_seed(0)
    return TokenizerObjective(CONFIG, dataset(), dataset(), windows=(16, 8))


class Cut(Exception):
    pass


def cut_after(step: int):
    """An objective that is interrupted in the middle of a step, as a kill would."""
    interrupted = objective()
    forward, calls = interrupted.forward, iter(range(step))

    def limited(batch):
        if next(calls, None) is None:
            raise Cut
        return forward(batch)

    interrupted.forward = limited
    return interrupted


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("step", [1, 5, 8])
def test_interrupted_run_equals_uninterrupted(tmp_path, step, precision):
    options = TrainingOptions(**{**vars(OPTIONS), "precision": precision})
    whole = objective()
    train(whole, tmp_path / "whole", options)
    with pytest.raises(Cut):
        train(cut_after(step), tmp_path / "cut", options)
    resumed = objective()
    train(resumed, tmp_path / "cut", options)

    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for name, a in whole.training_state().items():
        assert torch.equal(a, resumed.training_state()[name]), name
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert [r["step"] for r in rows(tmp_path / "whole")] == [2, 4, 4, 6, 8, 8, 9, 9]


def test_what_was_trained_before_learns_more_slowly(tmp_path):
    """The first step of Adam moves every value with a gradient by the rate, whatever its size."""
    options = TrainingOptions(steps=1, batch_size=2, learning_rate=1e-3, warmup=0, weight_decay=0.0)
    made, before = objective(), objective().model.state_dict()
    made.pretrained = ("encoder.",)
    train(made, tmp_path, options)
    for prefix, rate in (("encoder.", 1e-3 * PRETRAINED_SHARE), ("decoder.", 1e-3)):
        moved = [(a - before[k]).abs().max() for k, a in made.model.named_parameters() if k.startswith(prefix)]
        assert moved
        # Adam divides by |gradient| + 1e-8, and the sum is rounded to float32.
        torch.testing.assert_close(torch.stack(moved).max(), torch.tensor(rate), rtol=1e-2, atol=1e-6)


def test_a_finished_run_only_loads(tmp_path):
    first, second = objective(), cut_after(0)
    train(first, tmp_path, OPTIONS)
    train(second, tmp_path, OPTIONS)
    for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_other_options_are_refused(tmp_path):
    train(objective(), tmp_path, OPTIONS)
    with pytest.raises(LampError, match="learning_rate"):
        train(objective(), tmp_path, TrainingOptions(**{**vars(OPTIONS), "learning_rate": 5e-4}))


def test_a_truncated_state_is_refused_and_kept(tmp_path):
    train(objective(), tmp_path, OPTIONS)
    file = tmp_path / "state.safetensors"
    cut = file.read_bytes()[:200]
    file.write_bytes(cut)
    with pytest.raises(LampError, match="state.safetensors"):
        train(objective(), tmp_path, OPTIONS)
    assert file.read_bytes() == cut


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    broken = objective()
    broken.clips[0].fill_(float("nan"))
    broken.weights = {w: torch.tensor([1.0, 0, 0], dtype=torch.float64) for w in broken.weights}
    with pytest.raises(LampError, match="loss is nan"):
        train(broken, tmp_path, OPTIONS)
    assert not (tmp_path / "state.safetensors").exists()


def test_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate(OPTIONS, step) for step in range(OPTIONS.steps)]
    assert rates[0] == OPTIONS.learning_rate / 2
    assert max(rates) == OPTIONS.learning_rate
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.1 * OPTIONS.learning_rate


def test_seeds_differ_by_step_process_and_seed():
    seeds = {step_seed(a, b, c) for a in range(3) for b in range(100) for c in range(4)}
    assert len(seeds) == 1200
    assert all(0 <= s < 2**63 for s in seeds)
