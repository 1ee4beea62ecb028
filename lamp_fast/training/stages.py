"""The four stages of training, each reading what the earlier ones left in the model folder.

    folder/
      tokenizer/ language_motion/ generator/ length/   config.json, model.safetensors, and the run beside them
      vocab.txt, statistics.safetensors

A stage can be stopped at any time and started again with the same words; `pack` makes one model of a finished folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import nn

from ..backend import find_device
from ..checkpoints.evaluator import Evaluator, save_evaluator
from ..checkpoints.folder import VOCABULARY, load_model, read_statistics, save_lamp, save_model, write_statistics
from ..checkpoints.weights import Storage
from ..config import EvaluatorConfig, LampConfig, preset
from ..data import Clip, MotionDataset, normalisation, open_dataset
from ..data.encoded import TRAINING_OFFSETS, EncodedClip, encode_clips
from ..errors import LampError
from ..files import new_file
from ..models.evaluator import MotionTextEvaluator
from ..models.lamp import Lamp
from ..models.language_motion import PretrainingOptions
from ..models.text import TextTokenizer, read_vocabulary
from .evaluator import EvaluatorObjective
from .generator import GeneratorObjective, text_conditions
from .language_motion import LanguageMotionObjective
from .length import LengthObjective
from .loop import Objective, TrainingOptions, train
from .paraphrase import paraphrases
from .text_start import minilm_folder, start_from_minilm, word_vectors
from .tokenizer import TokenizerObjective
from .vocabulary import prune_vocabulary

WORD_DIM = 384  # of word vectors that start from nothing
SMALL_EVALUATOR = dict.fromkeys(("movement_hidden", "movement_dim", "motion_hidden", "text_hidden", "embed_dim"), 256)


class Workspace:
    """A model folder in the making and the data set it is trained on."""

    def __init__(
        self,
        folder: str | Path,
        data: str | Path,
        preset_name: str = "lamp-mini",
        mirror: bool = True,
        wordings: int = 16,
    ):
        self.folder, self.data = Path(folder), Path(data)
        self.preset, self.mirror, self.wordings = preset_name, mirror, wordings
        self.config: LampConfig = preset(preset_name)

    def train_tokenizer(self, options: TrainingOptions, windows: tuple[int, ...] = (64,)) -> None:
        train_set, validation = self._dataset("train"), self._dataset("val")
        mean, std = normalisation(train_set)
        config = replace(self.config.tokenizer, feature_dim=train_set.skeleton.feature_dim)
        self._run(
            "tokenizer",
            lambda: TokenizerObjective(config, train_set, validation, windows=windows),
            options,
            windows=windows,
        )
        write_statistics(self.folder, torch.from_numpy(mean), torch.from_numpy(std))

    def train_language_motion(self, options: TrainingOptions, pretraining: PretrainingOptions, minilm: bool) -> None:
        train_set, validation = self._encoded("train"), self._encoded("val")
        words = self._vocabulary(train_set, minilm)

        def objective() -> LanguageMotionObjective:
            config = replace(self.config.language_motion, vocab_size=len(words.pieces))
            made = LanguageMotionObjective(config, train_set, validation, words, pretraining, self.wordings)
            if minilm:
                start_from_minilm(made.model, words.pieces)
            return made

        own = asdict(pretraining) | {"minilm": minilm, "wordings": self.wordings}
        self._run("language_motion", objective, options, **own)

    def train_generator(self, options: TrainingOptions) -> None:
        config, wordings = self.config.generator, self.wordings
        self._run("generator", lambda: GeneratorObjective(config, *self._conditioned()), options, wordings=wordings)

    def train_length(self, options: TrainingOptions) -> None:
        config, wordings = self.config.length, self.wordings
        self._run("length", lambda: LengthObjective(config, *self._conditioned()), options, wordings=wordings)

    def train_evaluator(self, options: TrainingOptions, minilm: bool) -> None:
        """An evaluator of its own: it needs no other stage, and no model needs it."""
        train_set, validation = self._dataset("train"), self._dataset("val")
        mean, std = map(torch.from_numpy, normalisation(train_set))
        words = self._vocabulary(train_set.clips, minilm).pieces

        draw = torch.Generator().manual_seed(options.seed)
        vectors = word_vectors(words) if minilm else torch.randn(len(words), WORD_DIM, generator=draw)
        sizes = {} if self.preset == "lamp-base" else SMALL_EVALUATOR
        config = EvaluatorConfig(len(mean), vectors.shape[1], num_parts_of_speech=1, **sizes)

        def objective() -> EvaluatorObjective:
            started = Evaluator(MotionTextEvaluator(config), mean, std, words, vectors)
            return EvaluatorObjective(started, train_set, validation, self.wordings)

        model = self._run("evaluator", objective, options, minilm=minilm, wordings=self.wordings)
        if PartialState().is_main_process:
            save_evaluator(self.folder / "evaluator", Evaluator(model, mean, std, words, vectors))

    def _run(self, part: str, objective: Callable[[], Objective], options: TrainingOptions, **own: Any) -> nn.Module:
        """The trained model. own: the options of this stage alone."""
        # The first weights are a function of the seed too.
        torch.manual_seed(options.seed)
        settings = {"preset": self.preset, "mirror": self.mirror} | own
        model = train(objective(), self.folder / part, options, settings)
        if PartialState().is_main_process:
            save_model(self.folder / part, model.cpu())
        PartialState().wait_for_everyone()
        return model

    def _dataset(self, split: str) -> MotionDataset:
        return open_dataset(self.data, split, mirror=self.mirror and split == "train")

    def _encoded(self, split: str) -> list[EncodedClip]:
        statistics = read_statistics(self.folder)
        tokenizer = load_model(self.folder / "tokenizer", find_device())
        mean, std = (statistics[name].numpy() for name in ("mean", "std"))
        offsets = TRAINING_OFFSETS if split == "train" else (0,)
        return encode_clips(tokenizer, self._dataset(split), mean, std, offsets)

    def _vocabulary(self, clips: Sequence[EncodedClip | Clip], minilm: bool) -> TextTokenizer:
        """vocab.txt of the folder, cut from MiniLM's to the preset's size when there is none yet."""
        file = self.folder / VOCABULARY
        if not file.is_file():
            if not minilm:
                raise LampError(f"{file} is missing; put a BERT vocabulary there, or start the text side from MiniLM")
            texts = {w for clip in clips for text in clip.texts for w in paraphrases(text, self.wordings)}
            full = read_vocabulary(minilm_folder() / VOCABULARY)
            pieces = prune_vocabulary(full, sorted(texts), self.config.language_motion.vocab_size)
            with new_file(file) as partial:
                partial.write_text("".join(piece + "\n" for piece in pieces), encoding="utf-8")
        return TextTokenizer(file)

    def _conditioned(self) -> tuple[list[EncodedClip], list[EncodedClip], dict[str, torch.Tensor]]:
        model = load_model(self.folder / "language_motion", find_device())
        train_set, validation = self._encoded("train"), self._encoded("val")
        words = TextTokenizer(self.folder / VOCABULARY)
        return train_set, validation, text_conditions(model, words, [*train_set, *validation], self.wordings)


def pack(folder: str | Path, destination: str | Path, storage: Storage, card: str | None, licence: str | None) -> None:
    """Make one model of the four trained parts. Raises `LampError` for a part that is missing or does not fit."""
    folder = Path(folder)
    parts = {name: load_model(folder / name) for name in ("tokenizer", "language_motion", "generator", "length")}
    dataset = "kit" if parts["tokenizer"].config.feature_dim == 251 else "humanml3d"
    config = LampConfig(dataset, **{name: model.config for name, model in parts.items()})
    lamp = Lamp(config, TextTokenizer(folder / VOCABULARY), **read_statistics(folder))
    for name, model in parts.items():
        setattr(lamp, name, model)
    save_lamp(destination, lamp, storage, card, licence)
