"""A captioner with a language model, on disk: config.json, and model.safetensors with what was trained.

The language model stays in a folder of its own, which config.json names; a converted release has it inside.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import CaptionerConfig
from ..errors import LampError, first_line
from ..models.llm_captioner import LlmCaptioner
from .folder import CONFIG, WEIGHTS, explained, read_config, write_config
from .hub import find_folder
from .weights import read_weights, write_weights

KIND = "captioner"
LANGUAGE_MODEL = "language_model"  # the folder inside, where a captioner brings its own


def open_language_model(folder: str | os.PathLike) -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer from a folder that transformers wrote. Nothing is downloaded.

    Raises LampError for a folder that is not there, is not such a model, or holds a pickle.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise LampError(f"{folder} is no language model; give a folder that transformers wrote, with its {CONFIG}")
    if not list(folder.glob("*.safetensors")):
        raise LampError(f"{folder} has no weights in safetensors, and a pickle is never opened; save it as safetensors")
    from transformers import AutoModelForCausalLM

    words = open_words(folder)
    try:
        with _without_progress_bars():
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
    except Exception as error:  # transformers raises whatever the damage leads to
        raise LampError(
            f"{folder} cannot be opened as a causal language model ({first_line(error)}); get it again"
        ) from error
    return model.eval(), words


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """transformers draws one on stderr while it loads, which belongs to messages of a command's own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def open_words(folder: str | os.PathLike) -> Any:
    """The tokenizer of a language model from its folder. Raises LampError for a folder that holds none."""
    if not Path(folder).is_dir():
        raise LampError(f"{folder} is no folder; give one with the tokenizer of the language model")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises whatever the damage leads to
        raise LampError(
            f"{folder} holds no tokenizer that can be opened ({first_line(error)}); get it again"
        ) from error


def save_captioner(folder: str | os.PathLike, model: LlmCaptioner) -> None:
    """Write what was trained, and a model card where there is none; other files of the folder stay.

    Raises `LampError` as `write_weights`.
    """
    folder = Path(folder)
    write_config(folder, KIND, dataclasses.asdict(model.config))
    write_weights(folder / WEIGHTS, model)
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(_card(folder.name, model), encoding="utf-8")


def load_captioner(
    folder: str | os.PathLike,
    device: str | torch.device = "cpu",
    language_model: str | os.PathLike | None = None,
) -> LlmCaptioner:
    """Read what `save_captioner` wrote, in evaluation mode, from its folder or the Hugging Face Hub.

    language_model: its folder, where it is not the one that was trained with. Raises LampError for anything that is
    missing or does not fit.
    """
    folder = find_folder(folder) or Path(folder)
    _, values = read_config(folder, (KIND,))
    with explained(folder / CONFIG):
        config = CaptionerConfig.from_dict(values)
    inside = folder / config.language_model
    own = inside if (inside / CONFIG).is_file() else config.language_model
    model = LlmCaptioner(config, *open_language_model(language_model or own))
    read_weights(folder / WEIGHTS, model)
    return model.eval().to(device)


def _card(name: str, model: LlmCaptioner) -> str:
    config, millions = model.config, sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6
    language_model = Path(config.language_model).name
    return f"""---
library_name: lamp-fast
tags: [motion-captioning]
---
# {name}

LaMP-M2T: {language_model} reads motion through the queries of a LaMP model, a projection and LoRA of rank
{config.lora_rank} on {", ".join(config.lora_targets)}. These are here, {millions:.1f} M parameters; the language model
itself is not.

```sh
lamp-fast caption clip.bvh --captioner {name} --language-model {language_model}
```

Its use is bound to the licences of the language model and of the motions that it was trained on.
"""
