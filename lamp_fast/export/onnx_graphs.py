"""The models as graphs of fixed shape for other runtimes: one motion at a time, its length an input, noise an input.

Each computes what the models compute for one motion alone, at every length, with operators that ONNX has had since
version 15; `noise` comes from outside, so that a seed means the same wherever a graph runs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import ops
from ..config import FRAMES_PER_TOKEN
from ..kernels.decode_step import KEPT, gumbel
from ..kernels.recover_joints import recover_joints_ref
from ..models.decoding import DecodingOptions, model_score
from ..models.lamp import Lamp
from ..models.tokenizer import Decoder, Encoder


@dataclass(frozen=True)
class Value:
    """An input or output of a graph."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    meaning: str


class Graph(nn.Module):
    """A module that takes tensors of fixed shape and returns a tuple of such; `name` is that of its file."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def __init__(self, lamp: Lamp):
        super().__init__()
        self.lamp = lamp

    def example(self, length: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        """Inputs for a motion of `length` tokens, or for a text of about as many word pieces."""
        raise NotImplementedError

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the model, as Python runs it, makes of these inputs."""
        raise NotImplementedError

    def rounding(self, expected: Sequence[Tensor], found: Sequence[Tensor]) -> tuple[float, ...]:
        """What sums over the frames lose of each output in float32, whoever adds them up."""
        return (0.0,) * len(expected)


class _OfText(Graph):
    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        longest = lamp.config.language_motion.max_text_tokens
        self.inputs = (
            _int("input_ids", (1, longest), "word pieces from [CLS] to [SEP], then [PAD]"),
            _int("attention_mask", (1, longest), "1 for a word piece, 0 for a pad"),
        )

    def example(self, length: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        _, longest = self.inputs[0].shape
        words = min(longest, length + 2)
        ids = torch.full((1, longest), self.lamp.text_tokenizer.pad_id)
        ids[:, :words] = torch.randint(self.lamp.config.language_motion.vocab_size, (1, words), generator=draw)
        return ids, (torch.arange(longest) < words).long()[None]

    def cut(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Without pads, unless the model is one that reads them."""
        words = mask.shape[1] if self.lamp.config.language_motion.padding == "released" else int(mask.sum())
        return ids[:, :words], mask[:, :words]


class TextCondition(_OfText):
    """Word ids (1,L) -> condition (1,D), and scores (1,N) of the lengths where the model predicts them."""

    name = "text_condition"

    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        lengths = _float("length_scores", (1, lamp.max_tokens), "of 1 to N tokens; the highest is the likeliest")
        self.outputs = (_condition(lamp), *[lengths] * (lamp.length is not None))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        condition = self.lamp.language_motion.condition(input_ids, attention_mask)
        return (condition,) if self.lamp.length is None else (condition, self.lamp.length(condition))

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self(*self.cut(*inputs))


class TextEmbedding(_OfText):
    """Word ids (1,L) -> unit vector (1,E)."""

    name = "text_embedding"

    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        self.outputs = (_embedding(lamp),)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        return (self.lamp.language_motion.text_embedding(input_ids, attention_mask),)

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self(*self.cut(*inputs))


class DecodeStep(Graph):
    """One step of `models.decoding.generate`: the guided scores of the generator, a code drawn at every masked
    position, and the least certain masked again. What lies beyond the length is never read: alone, no motion has pads.
    """

    name = "decode_step"

    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        codes, n = lamp.config.generator.num_codes, lamp.max_tokens
        self.generator = copy.copy(lamp.generator)
        self.generator.config = replace(lamp.config.generator, padding="exact")
        self.top_k = DecodingOptions().sampling(codes)["top_k"]
        ids = _int("ids", (1, n), f"tokens; {codes} where one is wanted, {codes + 1} beyond the length")
        self.inputs = (
            ids,
            _condition(lamp),
            _length(lamp),
            _int("next_count", (1,), "how many tokens the next step masks; 0 in the last"),
            _float("noise", (1, n, codes), "uniform in [0, 1)"),
            _float("guidance_scale", (), "the paper's alpha + 1"),
            _float("temperature", (), "1 as trained; above 0"),
        )
        confidence = _float("confidence", (1, n), f"of what was drawn; {KEPT:g} where nothing was")
        self.outputs = (_int("next_ids", ids.shape, ids.meaning), confidence)

    def forward(
        self,
        ids: Tensor,
        condition: Tensor,
        length: Tensor,
        next_count: Tensor,
        noise: Tensor,
        guidance_scale: Tensor,
        temperature: Tensor,
    ) -> tuple[Tensor, Tensor]:
        logits, unconditional = model_score(self.generator, condition, length, guided=True)(ids, ids.shape[1])
        guided = unconditional + guidance_scale * (logits - unconditional)
        threshold = guided.topk(self.top_k, dim=-1).values[..., -1:]
        filtered = guided.masked_fill(guided < threshold, float("-inf"))
        drawn = (filtered / temperature + gumbel(noise)).argmax(dim=-1)
        other = torch.arange(guided.shape[-1]) != drawn[..., None]  # onnx.reference gathers among 64 codes at most
        probability = guided.softmax(dim=-1).masked_fill(other, 0).sum(-1)

        mask_id = self.lamp.config.generator.mask_id
        masked = ids == mask_id
        confidence = torch.where(masked, probability, torch.full_like(probability, KEPT))
        again = masked & (_rank(confidence) < next_count[:, None])
        ids = torch.where(masked, drawn, ids)
        return torch.where(again, torch.full_like(ids, mask_id), ids), confidence

    def example(self, length: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        config, n = self.lamp.config.generator, self.lamp.max_tokens
        ids = torch.randint(config.num_codes, (1, n), generator=draw)
        ids[torch.rand(1, n, generator=draw) < 0.7] = config.mask_id
        ids[:, length:] = config.pad_id
        condition = torch.randn(self.inputs[1].shape, generator=draw)
        noise = torch.rand(1, n, config.num_codes, generator=draw)
        return (
            ids,
            condition,
            torch.tensor([length]),
            torch.tensor([length // 3]),
            noise,
            torch.tensor(4.0),
            torch.tensor(1.0),
        )

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        ids, condition, length, next_count, noise, guidance_scale, temperature = inputs
        n = int(length)
        score = model_score(self.lamp.generator, condition, length, guided=True)
        drawn = ops.decode_step(
            *score(ids[:, :n], n),
            ids[:, :n],
            next_count,
            seeds=torch.zeros_like(length),
            samples=torch.zeros_like(length),
            noise=noise[:, :n],
            step=0,
            guidance_scale=float(guidance_scale),
            temperature=float(temperature),
            top_k=self.top_k,
        )
        beyond = (self.lamp.config.generator.pad_id, KEPT)
        return tuple(F.pad(x, (0, ids.shape[1] - n), value=value) for x, value in zip(drawn, beyond))


def _rank(x: Tensor) -> Tensor:
    """(1,N) -> how many of N are lower, or equal and earlier: a stable sort's ranks, without a sort."""
    n = x.shape[1]
    earlier = torch.ones(n, n, dtype=torch.bool).tril(-1)
    row, column = x[:, :, None], x[:, None, :]
    return ((column < row) | ((column == row) & earlier)).long().sum(-1)


class TokensToJoints(Graph):
    """Tokens (1,N) -> features (1,4N,F) in the data set's own units and joints (1,4N,J,3), zero beyond the length."""

    name = "decoder"

    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        n = lamp.max_tokens
        self.inputs = (_int("ids", (1, n), "tokens; beyond the length anything"), _length(lamp))
        joints = _float("joints", (1, FRAMES_PER_TOKEN * n, lamp.skeleton.num_joints, 3), "metres, Y up; zero beyond")
        self.outputs = (_features(lamp), joints)

    def forward(self, ids: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        real = torch.arange(ids.shape[1]) < length[:, None]
        codes = torch.where(real, ids, torch.zeros_like(ids))
        latents = self.lamp.tokenizer.dequantize(codes).transpose(1, 2)
        normal = decode_to_length(self.lamp.tokenizer.decoder, latents, length)
        return recover_joints_ref(normal.transpose(1, 2), self.lamp.mean, self.lamp.std, FRAMES_PER_TOKEN * length)

    def example(self, length: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        codes = self.lamp.config.tokenizer.num_codes
        ids = torch.randint(codes, self.inputs[0].shape, generator=draw)
        ids[:, length:] = codes + 1
        return ids, torch.tensor([length])

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        ids, length = inputs
        normal = self.lamp.tokenizer.decode(ids[:, : int(length)])
        beyond = FRAMES_PER_TOKEN * (ids.shape[1] - int(length))
        features, joints = recover_joints_ref(normal, self.lamp.mean, self.lamp.std, None)
        return F.pad(features, (0, 0, 0, beyond)), F.pad(joints, (0, 0, 0, 0, 0, beyond))

    def rounding(self, expected: Sequence[Tensor], found: Sequence[Tensor]) -> tuple[float, ...]:
        """A joint is a sum of steps and a reach, turned by a sum of turns: each sum is off by as much of all that goes
        into it as the features are, or float32."""
        features, joints = expected
        off = ((found[0] - features).abs() / features.abs().clamp(min=1)).max().clamp(min=torch.finfo(joints.dtype).eps)
        turned = 2 * features[..., 0].abs().sum()
        walked = features[..., 1:3].norm(dim=-1).sum()
        reach = (joints - joints[..., :1, :]).norm(dim=-1).max()
        return 0.0, float(off * (walked + reach) * (1 + turned))


class MotionEmbedding(Graph):
    """Features (1,T,F) in the data set's own units, of `length` tokens -> unit vector (1,E)."""

    name = "motion_embedding"

    def __init__(self, lamp: Lamp):
        super().__init__(lamp)
        self.inputs, self.outputs = (_features(lamp), _length(lamp)), (_embedding(lamp),)

    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor]:
        lamp = self.lamp
        real = torch.arange(features.shape[1]) < FRAMES_PER_TOKEN * length[:, None]
        normal = ((features - lamp.mean) / lamp.std).masked_fill(~real[..., None], 0).transpose(1, 2)
        encoder = (lamp.motion_encoder or lamp.tokenizer).encoder
        if lamp.config.language_motion.padding == "released":  # zeros up to the longest length are read, too
            return (lamp.language_motion.motion_embedding(encoder(normal).transpose(1, 2), None),)
        latents = encode_to_length(encoder, normal, length)
        return (lamp.language_motion.motion_embedding(latents.transpose(1, 2), length),)

    def example(self, length: int, draw: torch.Generator) -> tuple[Tensor, ...]:
        features = self.lamp.mean + self.lamp.std * torch.randn(self.inputs[0].shape, generator=draw)
        features[:, FRAMES_PER_TOKEN * length :] = 0
        return features, torch.tensor([length])

    def by_the_model(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        features, length = inputs
        read = self.lamp.read_motions([features[0, : FRAMES_PER_TOKEN * int(length)]])
        return (self.lamp.language_motion.motion_embedding(*read),)


def encode_to_length(encoder: Encoder, x: Tensor, length: Tensor) -> Tensor:
    """As `Encoder` computes it for a motion of `length` (1,) tokens alone: x (1,F,T), zero beyond -> (1,code_dim,T/4).

    A convolution pads with zeros, so whatever stands beyond the end must be zero before each.
    """
    tokens = x.shape[-1] // FRAMES_PER_TOKEN
    x = _cut(F.relu(encoder.input(x)), length, tokens)
    for down, blocks in zip(encoder.down, encoder.blocks, strict=True):
        x = _cut(down(x), length, tokens)
        for block in blocks:
            x = _cut(block(x), length, tokens)
    return encoder.output(x)


def decode_to_length(decoder: Decoder, x: Tensor, length: Tensor) -> Tensor:
    """As `Decoder` for a motion of `length` (1,) tokens alone: x (1,code_dim,N) -> (1,F,4N)."""
    tokens = x.shape[-1]
    x = _cut(F.relu(decoder.input(_cut(x, length, tokens))), length, tokens)
    for blocks, up in zip(decoder.blocks, decoder.up, strict=True):
        for block in blocks:
            x = _cut(block(x), length, tokens)
        x = _cut(up(F.interpolate(x, scale_factor=2.0, mode="nearest")), length, tokens)
    return decoder.output(F.relu(_cut(decoder.hidden(x), length, tokens)))


def _cut(x: Tensor, length: Tensor, tokens: int) -> Tensor:
    """Zeros beyond the length: x (1,C,R), R / tokens columns a token."""
    columns = x.shape[-1]
    return x * (torch.arange(columns) < length[:, None] * (columns // tokens))[:, None].to(x.dtype)


def graphs_of(lamp: Lamp) -> list[Graph]:
    """Those that the model's parts allow."""
    generating = [TextCondition, DecodeStep] if lamp.config.generator else []
    reading = [TextEmbedding, MotionEmbedding] if lamp.config.reads_motion else []
    return [make(lamp).eval() for make in (*generating, TokensToJoints, *reading)]


def _int(name: str, shape: Sequence[int], meaning: str) -> Value:
    return Value(name, torch.int64, tuple(shape), meaning)


def _float(name: str, shape: Sequence[int], meaning: str) -> Value:
    return Value(name, torch.float32, tuple(shape), meaning)


def _length(lamp: Lamp) -> Value:
    return _int(
        "length", (1,), f"of the motion in tokens, 1 to {lamp.max_tokens}; a token is {FRAMES_PER_TOKEN} frames"
    )


def _condition(lamp: Lamp) -> Value:
    return _float("condition", (1, lamp.config.language_motion.hidden_size), "what the generator knows of the text")


def _features(lamp: Lamp) -> Value:
    shape = (1, FRAMES_PER_TOKEN * lamp.max_tokens, len(lamp.mean))
    return _float("features", shape, "of the frames, in the data set's own units; beyond the length not read, or zero")


def _embedding(lamp: Lamp) -> Value:
    meaning = "a unit vector: the product of a text's and a motion's is their score"
    return _float("embedding", (1, lamp.config.language_motion.embed_dim), meaning)
