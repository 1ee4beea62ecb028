"""Training state on disk: one safetensors file, replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import LampError
from ..files import new_file

if TYPE_CHECKING:
    from .loop import Objective


def save(file: Path, objective: Objective, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Model, optimizer moments and the objective's own state after `step` steps; a cut leaves the old file whole."""
    tensors = {f"model.{k}": v for k, v in objective.model.state_dict().items()}
    tensors |= {f"objective.{k}": v for k, v in objective.training_state().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    # A clone for each: safetensors refuses tensors that share memory (tied weights).
    copies = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    with new_file(file) as beside:
        save_file(copies, beside, {"step": str(step)})


def load(file: Path, objective: Objective, optimizer: torch.optim.Optimizer) -> int:
    """Restore what `save` wrote and return the number of finished steps; `LampError` for a file of another model."""
    try:
        with safe_open(file, "pt") as archive:
            tensors = {k: archive.get_tensor(k) for k in archive.keys()}
            step = int(archive.metadata()["step"])
        part = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            part.setdefault(kind, {})[rest] = tensor
        objective.model.load_state_dict(part["model"])
        for name, tensor in objective.training_state().items():
            tensor.copy_(part["objective"][name])
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise LampError(f"{file} is not the state of this training run ({error}); choose another folder") from error

    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in part.get("optimizer", {}).items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return step
