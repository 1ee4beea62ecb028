"""Sizes and options of every model, and the named presets.

Letters used here and in every docstring: B batch, T frames, N tokens (T / 4), J joints, D width, H heads, Q queries,
K codes, S decoding steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from .errors import LampError

FRAMES_PER_TOKEN = 4

AttentionMode = Literal["full", "soft_causal", "causal"]
Padding = Literal["exact", "released"]


@dataclass(frozen=True)
class TokenizerConfig:
    """VQ-VAE (released `models/vq/vqvae.py`, HumanVQVAE)."""

    feature_dim: int = 263
    width: int = 512
    code_dim: int = 512
    num_codes: int = 512
    down_blocks: int = 2
    depth: int = 3
    dilation_growth: int = 3
    dropout: float = 0.2
    ema_decay: float = 0.99


@dataclass(frozen=True)
class LanguageMotionConfig:
    """LaMP's Q-Former (released `models/lamp/motiongpm_lamp.py`, `QFormer.py`)."""

    vocab_size: int = 30523
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    query_intermediate_size: int = 3072
    max_positions: int = 512
    num_queries: int = 49
    cross_attention_every: int = 2
    memory_width: int = 1408
    code_dim: int = 512
    num_codes: int = 512
    embed_dim: int = 512
    max_text_tokens: int = 49
    max_pretraining_text_tokens: int = 32
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    padding: Padding = "exact"


@dataclass(frozen=True)
class GeneratorConfig:
    """Masked transformer (released `models/mask_transformer/transformer.py`)."""

    num_codes: int = 512
    code_dim: int = 512
    width: int = 512
    num_layers: int = 8
    num_heads: int = 8
    feedforward_size: int = 1024
    condition_dim: int = 768
    max_tokens: int = 49
    dropout: float = 0.2
    condition_dropout: float = 0.1
    attention_mode: AttentionMode = "soft_causal"
    padding: Padding = "exact"

    @property
    def mask_id(self) -> int:
        return self.num_codes

    @property
    def pad_id(self) -> int:
        return self.num_codes + 1


@dataclass(frozen=True)
class LengthConfig:
    """Length predictor from the text condition: classes are lengths in tokens, 1..max_tokens."""

    condition_dim: int = 768
    hidden_size: int = 512
    max_tokens: int = 49
    dropout: float = 0.2


@dataclass(frozen=True)
class LengthEstimatorConfig:
    """MoMask's estimator from a CLIP feature of the text (`models/vq/model.py`): classes are lengths in tokens."""

    text_dim: int = 512
    hidden_size: int = 512
    num_classes: int = 50
    dropout: float = 0.2


@dataclass(frozen=True)
class CaptionerConfig:
    """LaMP-M2T: a language model that reads the queries of a motion (released `models/m2t/m2t_trans.py`).

    language_model: its folder, as transformers writes it. prompt: what stands between motion and words; the release
    generates after "a man is", which it does not train. max_words: of a text, in the language model's tokens.
    """

    language_motion: LanguageMotionConfig = field(default_factory=LanguageMotionConfig)
    language_model: str = ""
    prompt: str = ""
    max_words: int = 32
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CaptionerConfig:
        lists = {"lora_targets": tuple(data["lora_targets"])} if "lora_targets" in data else {}
        parts = {"language_motion": from_dict(LanguageMotionConfig, data.get("language_motion", {}))}
        return from_dict(cls, {**data, **parts, **lists})


@dataclass(frozen=True)
class EvaluatorConfig:
    """Text-motion evaluator of Guo et al. (`models/t2m_eval_modules.py`)."""

    feature_dim: int = 263
    word_dim: int = 300
    num_parts_of_speech: int = 15
    movement_hidden: int = 512
    movement_dim: int = 512
    motion_hidden: int = 1024
    text_hidden: int = 512
    embed_dim: int = 512
    dropout: float = 0.2


@dataclass(frozen=True)
class LampConfig:
    """One model: its parts agree on widths, codes and lengths. Released checkpoints may lack some.

    generator, length: None where the model reads motions and texts only, or does not predict lengths.
    motion_encoder: the encoder whose latents the language-motion model reads, where it is not the tokenizer's.
    reads_motion: False where the language-motion model can only give the generator its condition.
    """

    dataset: Literal["humanml3d", "kit"] = "humanml3d"
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    language_motion: LanguageMotionConfig = field(default_factory=LanguageMotionConfig)
    generator: GeneratorConfig | None = field(default_factory=GeneratorConfig)
    length: LengthConfig | None = field(default_factory=LengthConfig)
    motion_encoder: TokenizerConfig | None = None
    reads_motion: bool = True

    def __post_init__(self) -> None:
        makers = [part for part in (self.generator, self.length) if part]
        coders = [part for part in (self.tokenizer, self.motion_encoder) if part]
        codes = [part.num_codes for part in (self.tokenizer, self.language_motion, self.generator) if part]
        agreements = {
            "feature_dim": [part.feature_dim for part in coders],
            "frames per token": [FRAMES_PER_TOKEN, *(2**part.down_blocks for part in coders)],
            "num_codes": codes,
            "code_dim": [(self.motion_encoder or self.tokenizer).code_dim, self.language_motion.code_dim],
            "condition_dim": [self.language_motion.hidden_size, *(part.condition_dim for part in makers)],
            "max_tokens": [part.max_tokens for part in makers],
        }
        for name, values in agreements.items():
            if len(set(values)) > 1:
                raise LampError(f"config: {name} must be the same in every part, found {tuple(values)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LampConfig:
        parts = {
            "tokenizer": TokenizerConfig,
            "language_motion": LanguageMotionConfig,
            "generator": GeneratorConfig,
            "length": LengthConfig,
            "motion_encoder": TokenizerConfig,
        }
        values = {k: from_dict(parts[k], v) if k in parts and v is not None else v for k, v in data.items()}
        return from_dict(cls, values)


def from_dict(cls: type, data: Mapping[str, Any]):
    """Build a configuration dataclass from a mapping; an unknown key is a `LampError`."""
    known = {f.name for f in fields(cls)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise LampError(f"config: {cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    return cls(**data)


LAMP_MINI = LampConfig(
    tokenizer=TokenizerConfig(width=192, code_dim=128, dropout=0.0),
    language_motion=LanguageMotionConfig(
        vocab_size=10_240,
        hidden_size=384,
        num_layers=4,
        num_heads=12,
        intermediate_size=1536,
        query_intermediate_size=512,
        max_positions=64,
        memory_width=384,
        code_dim=128,
        embed_dim=256,
        dropout=0.0,
    ),
    generator=GeneratorConfig(
        code_dim=128, width=256, num_layers=6, num_heads=4, condition_dim=384, dropout=0.0, attention_mode="full"
    ),
    length=LengthConfig(condition_dim=384, hidden_size=256),
)

PRESETS: dict[str, LampConfig] = {"lamp-base": LampConfig(), "lamp-mini": LAMP_MINI}


def preset(name: str) -> LampConfig:
    """The named preset; a `LampError` lists the names when there is none."""
    if name not in PRESETS:
        raise LampError(f"no preset is called {name!r}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
