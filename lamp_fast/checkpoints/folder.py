"""Model folders on disk.

One part, as training leaves it (`save_model`): config.json, model.safetensors. A complete model (`save_lamp`):

    config.json               model_type "lamp", versions, data set and the sizes of all parts
    tokenizer/ language_motion/ generator/ length/      model.safetensors each, of the parts that the model has
    vocab.txt                 the words of the text side, one a line
    statistics.safetensors    mean and std of the features
    README.md, LICENSE        the model card and the licence of the weights

Weights are safetensors alone: a pickle is never opened.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import __version__
from ..config import (
    EvaluatorConfig,
    GeneratorConfig,
    LampConfig,
    LanguageMotionConfig,
    LengthConfig,
    LengthEstimatorConfig,
    TokenizerConfig,
    from_dict,
)
from ..errors import LampError
from ..files import new_file, new_folder
from ..models.evaluator import MotionTextEvaluator
from ..models.generator import MotionGenerator
from ..models.lamp import Lamp
from ..models.language_motion import LanguageMotionModel
from ..models.length import LengthPredictor
from ..models.length_estimator import LengthEstimator
from ..models.text import TextTokenizer
from ..models.tokenizer import MotionEncoder, MotionTokenizer
from .hub import find_folder
from .weights import Storage, read_tensors, read_weights, write_weights

FORMAT_VERSION = 1
PARTS: dict[str, tuple[type, type[nn.Module]]] = {
    "tokenizer": (TokenizerConfig, MotionTokenizer),
    "language_motion": (LanguageMotionConfig, LanguageMotionModel),
    "generator": (GeneratorConfig, MotionGenerator),
    "length": (LengthConfig, LengthPredictor),
    "motion_encoder": (TokenizerConfig, MotionEncoder),
}
MODELS: dict[str, tuple[type, type[nn.Module]]] = PARTS | {
    "evaluator": (EvaluatorConfig, MotionTextEvaluator),
    "length_estimator": (LengthEstimatorConfig, LengthEstimator),
}
BUNDLED = ("lamp-mini",)
CONFIG, WEIGHTS, VOCABULARY, STATISTICS = "config.json", "model.safetensors", "vocab.txt", "statistics.safetensors"


def save_model(folder: str | os.PathLike, model: nn.Module, storage: Storage = "fp32") -> None:
    """Write one of `MODELS` as config.json and model.safetensors; other files of the folder stay.

    Raises `LampError` as `write_weights`.
    """
    part = next((name for name, (_, kind) in MODELS.items() if isinstance(model, kind)), None)
    if part is None:
        raise LampError(f"{type(model).__name__} is not a part of LaMP; there are {', '.join(MODELS)}")
    write_config(Path(folder), part, dataclasses.asdict(model.config))
    write_weights(Path(folder) / WEIGHTS, model, storage)


def load_model(folder: str | os.PathLike, device: str | torch.device = "cpu") -> nn.Module:
    """Read what `save_model` wrote, in evaluation mode. Raises `LampError` as `read_weights`, or for a bad config."""
    folder = Path(folder)
    part, config = read_config(folder, tuple(MODELS))
    config_type, model_type = MODELS[part]
    with explained(folder / CONFIG):
        model = model_type(from_dict(config_type, config))
    read_weights(folder / WEIGHTS, model)
    return model.eval().to(device)


def save_lamp(
    folder: str | os.PathLike,
    lamp: Lamp,
    storage: Storage | Mapping[str, Storage] = "fp32",
    card: str | None = None,
    licence: str | None = None,
) -> None:
    """Write a complete model; the folder appears whole or not at all.

    Args:
        storage: of all parts, or by the name of the part ("fp32" for those not named).
        card, licence: texts of README.md (None: a short one is made) and of LICENSE (None: no such file).

    Raises:
        LampError: as `write_weights`, or for a folder that holds something else than a model.
    """
    folder = Path(folder)
    check_replaceable(folder)
    storages = {part: storage if isinstance(storage, str) else storage.get(part, "fp32") for part in PARTS}
    with new_folder(folder) as partial:
        write_config(partial, "lamp", lamp.config.to_dict())
        for part, model in _parts(lamp).items():
            write_weights(partial / part / WEIGHTS, model, storages[part])
        words = "".join(piece + "\n" for piece in lamp.text_tokenizer.pieces)
        (partial / VOCABULARY).write_text(words, encoding="utf-8")
        write_statistics(partial, lamp.mean, lamp.std)
        (partial / "README.md").write_text(card or _card(folder.name, lamp, storages), encoding="utf-8")
        if licence is not None:
            (partial / "LICENSE").write_text(licence, encoding="utf-8")


def load_lamp(name_or_folder: str | os.PathLike = "lamp-mini", device: str | torch.device = "cpu") -> Lamp:
    """Read a complete model, in evaluation mode: a bundled one by its name, any other by its folder or, on the Hugging
    Face Hub, as `owner/name`.

    Raises:
        LampError: no such name or folder; anything in it that is missing or does not fit.
    """
    folder = find_lamp(name_or_folder)
    _, config = read_config(folder, ("lamp",))
    statistics, words = read_statistics(folder), TextTokenizer(folder / VOCABULARY)
    with explained(folder / CONFIG):
        lamp = Lamp(LampConfig.from_dict(config), words, **statistics)
    for part, model in _parts(lamp).items():
        read_weights(folder / part / WEIGHTS, model)
    return lamp.eval().to(device)


def find_lamp(name_or_folder: str | os.PathLike) -> Path:
    """The folder of a bundled model, of one on disk or of one of the Hugging Face Hub. Raises `LampError` if there is
    none."""
    if name_or_folder in BUNDLED:
        return Path(str(files("lamp_fast"))) / "assets" / name_or_folder
    folder = find_folder(name_or_folder)
    if folder is None:
        raise LampError(
            f"there is no model {str(name_or_folder)!r}: expected a model folder or the name of a bundled model "
            f"({', '.join(BUNDLED)})"
        )
    return folder


def _parts(lamp: Lamp) -> dict[str, nn.Module]:
    return {part: getattr(lamp, part) for part in PARTS if getattr(lamp, part) is not None}


def write_statistics(folder: Path, mean: Tensor, std: Tensor) -> None:
    """mean and std (F,) float32 of the features, beside the model that reads them."""
    with new_file(folder / STATISTICS) as file:
        save_file({"mean": mean.cpu(), "std": std.cpu()}, file)


def read_statistics(folder: Path) -> dict[str, Tensor]:
    """`mean` and `std`, which `write_statistics` wrote. Raises `LampError` for anything else."""
    statistics = read_tensors(folder / STATISTICS)
    if statistics.keys() != {"mean", "std"}:
        raise LampError(f"{folder / STATISTICS} holds {sorted(statistics)}, expected mean and std; get it again")
    return statistics


def write_config(folder: Path, model_type: str, config: Mapping[str, Any]) -> None:
    values = {
        "model_type": model_type,
        "format_version": FORMAT_VERSION,
        "lamp_fast_version": __version__,
        "config": config,
    }
    with new_file(folder / CONFIG) as file:
        file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path, model_types: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """-> (model_type, config), once the header of config.json has been checked."""
    file = folder / CONFIG
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        model_type, version, config = (values[key] for key in ("model_type", "format_version", "config"))
    except FileNotFoundError as error:
        raise LampError(f"{folder} is not a model folder, it has no {CONFIG}; give one that save_lamp wrote") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LampError(f"{file} is not the configuration of a model ({error!r}); get the folder again") from error
    if model_type not in model_types:
        raise LampError(f"{file} describes a {model_type!r}, expected {' or '.join(model_types)}; give another folder")
    if version != FORMAT_VERSION:
        raise LampError(
            f"{file} has format version {version!r}, this lamp_fast reads {FORMAT_VERSION}; "
            "install the version of lamp_fast that wrote it, or get the model in this format"
        )
    return model_type, config


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Whatever fails while models are built from a configuration is that file's fault, and is said so."""
    try:
        yield
    except LampError as error:
        raise LampError(f"{file}: {error}") from error
    except (AttributeError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise LampError(f"{file} does not describe a possible model ({error}); get the folder again") from error


LAMP_FILES = {CONFIG, WEIGHTS, *MODELS, VOCABULARY, STATISTICS, "README.md", "LICENSE"}


def check_replaceable(folder: Path, own: Collection[str] = LAMP_FILES) -> None:
    """A folder may be replaced if all that it holds is a model. Raises `LampError` otherwise."""
    other = sorted({file.name for file in folder.iterdir()} - set(own)) if folder.is_dir() else []
    if other:
        raise LampError(f"{folder} holds other files than a model ({other[0]}); save to a new folder")


def _card(name: str, lamp: Lamp, storages: Mapping[str, Storage]) -> str:
    millions = {part: sum(p.numel() for p in model.parameters()) / 1e6 for part, model in _parts(lamp).items()}
    rows = "\n".join(f"| {part} | {size:.1f} M | {storages[part]} |" for part, size in millions.items())
    return f"""---
library_name: lamp-fast
tags: [text-to-motion, motion-retrieval, motion-captioning]
---
# {name}

A LaMP model (language-motion pretraining) of the {lamp.config.dataset} representation: {lamp.skeleton.fps:g} frames a
second, up to {lamp.max_seconds:.1f} s in one piece.

| part | parameters | stored as |
|---|---|---|
{rows}

```python
from lamp_fast import LampPipeline

motion = LampPipeline.from_pretrained("{name}")("a person walks forward", seed=0)
motion.save("walk.bvh")
```
"""
