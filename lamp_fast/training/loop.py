"""The one training loop: plain steps on accelerate, resumable at any of them.

Every random draw is a function of (seed, step, process), so a step is the same whether training was interrupted before
it or not, and no generator state has to be saved.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..errors import LampError
from . import state

log = logging.getLogger(__name__)

Batch = dict[str, Any]
PRETRAINED_SHARE = 0.1


@dataclass(frozen=True)
class TrainingOptions:
    """What a training run does; the objective's own options stand beside it."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 200
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    gradient_clip: float = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: the forward pass under autocast; weights, gradients and optimizer stay float32."""
    seed: int = 0
    log_every: int = 50
    save_every: int = 200
    evaluate_every: int = 1000
    workers: int = 0


class Objective(nn.Module):
    """A model in training: `forward(batch)` gives named losses, of which `total` is minimised.

    `model` is what gets saved; everything else an objective needs is frozen. `training_state` names tensors that a
    resumed run needs besides the model and the optimizer. Parameters whose names start with one of `pretrained` learn
    at `PRETRAINED_SHARE` of the rate.
    """

    model: nn.Module
    pretrained: tuple[str, ...] = ()

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        """One batch on the CPU, drawn with `draw` alone."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Validation metrics."""
        return {}

    def training_state(self) -> dict[str, Tensor]:
        return {}


class _Batches(Dataset):
    """Step -> batch, so that loader workers may prepare steps ahead."""

    def __init__(self, objective: Objective, options: TrainingOptions, process: int):
        self.objective, self.options, self.process = objective, options, process

    def __len__(self) -> int:
        return self.options.steps

    def __getitem__(self, step: int) -> Batch:
        draw = torch.Generator().manual_seed(step_seed(self.options.seed, step, self.process))
        return self.objective.batch(draw, self.options.batch_size)


def step_seed(seed: int, step: int, process: int) -> int:
    """One 63-bit seed from three numbers (splitmix64's finaliser)."""
    z = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + process * 0x94D049BB133111EB + 1) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 1


def learning_rate(options: TrainingOptions, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def train(
    objective: Objective, folder: str | Path, options: TrainingOptions, settings: Mapping[str, Any] | None = None
) -> nn.Module:
    """Train `objective.model` and leave it trained; resumes from `folder` when that holds an interrupted run.

    settings: what else decides the result, such as the options of the objective; JSON can hold it.

    Writes `state.safetensors`, `metrics.jsonl`, `options.json` and TensorBoard events below `folder`.
    Raises `LampError` when `folder` holds a run with other options or settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _check_options(folder / "options.json", asdict(options) | dict(settings or {}))

    # Which parameters an objective leaves out depends on its options; a single process ignores this.
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    optimizer = torch.optim.AdamW(
        _parameter_groups(objective, options.weight_decay), lr=options.learning_rate, betas=options.betas
    )
    wrapped, optimizer = accelerator.prepare(objective, optimizer)
    saved = folder / "state.safetensors"
    start = state.load(saved, objective, optimizer.optimizer) if saved.is_file() else 0
    process = accelerator.process_index
    loader = DataLoader(
        _Batches(objective, options, process),
        batch_size=None,
        sampler=range(start, options.steps),
        num_workers=options.workers,
    )

    with _Metrics(folder, start, enabled=accelerator.is_main_process) as metrics:
        bar = tqdm(loader, initial=start, total=options.steps, disable=not accelerator.is_main_process, smoothing=0.05)
        began = time.perf_counter()
        for step, batch in enumerate(bar, start):
            torch.manual_seed(step_seed(options.seed, step, process))
            objective.train()
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * learning_rate(options, step)
            autocast = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=options.precision == "bf16")
            with autocast, attention_for_training(accelerator.device):
                losses = wrapped(_to_device(batch, accelerator.device))
            accelerator.backward(losses["total"])
            accelerator.clip_grad_norm_(objective.model.parameters(), options.gradient_clip)
            optimizer.step()
            optimizer.zero_grad()

            done = step + 1
            if done % options.log_every == 0 or done == options.steps:
                values = {name: float(value.detach()) for name, value in losses.items()}
                if not math.isfinite(values["total"]):
                    raise LampError(f"the loss is {values['total']} at step {done}; lower the learning rate")
                metrics.write(done, {"train/" + k: v for k, v in values.items()})
                bar.set_postfix(loss=f"{values['total']:.4f}")
            if done % options.evaluate_every == 0 or done == options.steps:
                objective.eval()
                metrics.write(done, {"validation/" + k: v for k, v in objective.evaluate().items()})
            if accelerator.is_main_process and (done % options.save_every == 0 or done == options.steps):
                state.save(saved, objective, optimizer.optimizer, done)
        log.info("%d steps in %.0f s", options.steps - start, time.perf_counter() - began)
    return objective.model.eval()


def attention_for_training(device: torch.device) -> AbstractContextManager:
    """On a CPU the plain formula: the fused kernel's backward pass took 40 % of a language-motion step (49 tokens)."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _parameter_groups(objective: Objective, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not; what was trained before learns more slowly."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in objective.model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim > 1 else 0.0
            share = PRETRAINED_SHARE if name.startswith(objective.pretrained) else 1.0
            groups.setdefault((decay, share), []).append(parameter)
    return [{"params": p, "weight_decay": decay, "share": share} for (decay, share), p in groups.items()]


def _to_device(batch: Batch, device: torch.device) -> Batch:
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def _check_options(file: Path, options: Mapping[str, Any]) -> None:
    """An interrupted run goes on with the options it began with: others would give another result."""
    new = json.loads(json.dumps(options))
    free = {"workers", "log_every", "save_every", "evaluate_every"}
    if file.is_file():
        old = json.loads(file.read_text())
        changed = sorted(k for k in new if k not in free and old.get(k) != new[k])
        if changed:
            raise LampError(
                f"{file.parent} holds a run with other {', '.join(changed)}; repeat its options or name another folder"
            )
    file.write_text(json.dumps(new, indent=2) + "\n")


class _Metrics:
    """metrics.jsonl and TensorBoard; rows after the resumed step are dropped, they will be written again."""

    def __init__(self, folder: Path, start: int, enabled: bool):
        self.enabled, self.file, self.board = enabled, folder / "metrics.jsonl", None
        if not enabled:
            return
        if self.file.is_file():
            rows = [line for line in self.file.read_text().splitlines() if json.loads(line)["step"] <= start]
            self.file.write_text("".join(row + "\n" for row in rows))
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.warning("TensorBoard is not installed: metrics go to %s alone", self.file)
        else:
            self.board = SummaryWriter(folder / "tensorboard", purge_step=start + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        if not (self.enabled and values):
            return
        with self.file.open("a") as out:
            out.write(json.dumps({"step": step, **values}) + "\n")
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.board:
            self.board.close()
