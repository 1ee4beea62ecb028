"""One complete LaMP: the four models, the words they read and the statistics of the motions they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FRAMES_PER_TOKEN, LampConfig
from ..errors import LampError
from ..motion.skeleton import SKELETONS, Skeleton
from .generator import MotionGenerator
from .language_motion import LanguageMotionModel
from .length import LengthPredictor
from .text import TextTokenizer
from .tokenizer import MotionEncoder, MotionTokenizer

_LACKS = {
    "generator": "this model has no generator: it reads motions and texts but makes none; use one with a generator",
    "length": "this model has no length predictor: it does not say how long a motion should be; give the seconds",
    "reads_motion": "this model makes motions but reads none; use one with the weights of LaMP's pretraining",
}


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
        self.generator = MotionGenerator(config.generator) if config.generator else None
        self.length = LengthPredictor(config.length) if config.length else None
        self.motion_encoder = MotionEncoder(config.motion_encoder) if config.motion_encoder else None
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

    def require(self, part: Literal["generator", "length", "reads_motion"]) -> None:
        """Raise `LampError` where the model lacks what a task needs: released checkpoints need not be complete."""
        if not getattr(self.config, part):
            raise LampError(_LACKS[part])

    @property
    def max_tokens(self) -> int:
        """The longest motion that is generated or read in one piece."""
        return self.config.generator.max_tokens if self.config.generator else self.config.language_motion.num_queries

    @property
    def max_seconds(self) -> float:
        """As `max_tokens`."""
        return self.max_tokens * self.seconds_per_token

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

    def read_motions(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """B motions (T, F) in the data set's own units -> latents (B, N, code_dim), lengths (B,) or None: what
        `language_motion` reads.

        A motion is cut to `max_tokens`. With padding "released" all are padded with zeros to the longest length, as the
        release does, and every token is read (None).

        Raises `LampError` for a motion of fewer than 4 frames or of another width, and for a model without the part.
        """
        self.require("reads_motion")
        width, longest = self.mean.shape[0], FRAMES_PER_TOKEN * self.max_tokens
        for motion in features:
            if motion.ndim != 2 or motion.shape[1] != width or len(motion) < FRAMES_PER_TOKEN:
                raise LampError(
                    f"a motion has shape {tuple(motion.shape)}, expected 4 or more rows of {width} features"
                )
        encode = (self.motion_encoder or self.tokenizer).encode
        normal = [(motion[:longest].to(self.device, torch.float32) - self.mean) / self.std for motion in features]
        if self.config.language_motion.padding == "released":
            return encode(torch.stack([F.pad(motion, (0, 0, 0, longest - len(motion))) for motion in normal])), None
        lengths = torch.tensor([len(motion) // FRAMES_PER_TOKEN for motion in normal])
        latents = normal[0].new_zeros(len(normal), int(lengths.max()), self.config.language_motion.code_dim)
        for length in lengths.unique().tolist():  # convolutions see what is behind the end
            rows = (lengths == length).nonzero()[:, 0].tolist()
            latents[rows, :length] = encode(torch.stack([normal[i][: FRAMES_PER_TOKEN * length] for i in rows]))
        return latents, lengths.to(self.device)
