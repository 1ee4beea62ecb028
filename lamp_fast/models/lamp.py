"""One complete LaMP: the four models, the words they read and the statistics of the motions they know."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import FRAMES_PER_TOKEN, LampConfig
from ..errors import LampError
from ..motion.skeleton import SKELETONS, Skeleton
from .generator import MotionGenerator
from .language_motion import LanguageMotionModel
from .length import LengthPredictor
from .text import TextTokenizer
from .tokenizer import MotionTokenizer


class Lamp(nn.Module):
    """The parts that agree on widths, codes and lengths.

    Args:
        config: sizes of all parts; the models are built from it, with random weights.
        text_tokenizer: has exactly `config.language_motion.vocab_size` words.
        mean, std: (F,) float32, statistics of the features the models see as (x - mean) / std.

    Raises:
        LampError: a vocabulary or statistics that do not fit the config.
    """

    def __init__(self, config: LampConfig, text_tokenizer: TextTokenizer, mean: Tensor, std: Tensor):
        super().__init__()
        self.config = config
        self.text_tokenizer = text_tokenizer
        self.tokenizer = MotionTokenizer(config.tokenizer)
        self.language_motion = LanguageMotionModel(config.language_motion)
        self.generator = MotionGenerator(config.generator)
        self.length = LengthPredictor(config.length)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32))
        self._check()

    def _check(self) -> None:
        words, vocab_size = len(self.text_tokenizer.pieces), self.config.language_motion.vocab_size
        if words != vocab_size:
            raise LampError(f"the vocabulary has {words} words, the model {vocab_size}; give the model's own vocab.txt")
        if self.skeleton.feature_dim != self.config.tokenizer.feature_dim:
            raise LampError(
                f"the tokenizer reads {self.config.tokenizer.feature_dim} features, "
                f"{self.config.dataset} has {self.skeleton.feature_dim}; check config.json"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.shape != (self.skeleton.feature_dim,) or not values.isfinite().all():
                raise LampError(
                    f"the {name} of the features has shape {tuple(values.shape)}, expected {self.skeleton.feature_dim} "
                    "finite numbers; give those of the training data"
                )
        if not (self.std > 0).all():
            raise LampError("the std of the features has values that are not positive; give that of the training data")

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.config.dataset]

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def max_seconds(self) -> float:
        """The longest motion that is generated in one piece."""
        return self.config.generator.max_tokens * self.seconds_per_token

    @property
    def seconds_per_token(self) -> float:
        return FRAMES_PER_TOKEN / self.skeleton.fps

    def condition(self, prompts: list[str]) -> Tensor:
        """B prompts -> condition (B, D) float32. Raises `LampError` for a prompt the text tokenizer refuses."""
        config = self.config.language_motion
        released = config.padding == "released"
        ids, mask = self.text_tokenizer(prompts, config.max_text_tokens, pad_to_max=released)
        return self.language_motion.condition(ids.to(self.device), mask.to(self.device))

    def decode(self, tokens: Tensor) -> Tensor:
        """tokens (B, N) int64 -> features (B, 4N, F) float32, in the data set's own units."""
        return self.tokenizer.decode(tokens) * self.std + self.mean

    def encode(self, features: Tensor) -> Tensor:
        """features (B, T, F) in the data set's own units -> tokens (B, T // 4) int64.

        Raises `LampError` for another width, fewer than 4 frames, or values that are not finite.
        """
        if not features.isfinite().all():
            raise LampError("features hold NaN or infinite values; repair or drop those frames")
        return self.tokenizer.quantize(self.tokenizer.encode((features - self.mean) / self.std))
