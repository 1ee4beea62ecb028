"""A model as the one file that the native core reads; docs/native.md names every tensor."""

from __future__ import annotations

import io
import json
import os
from typing import BinaryIO, Literal

import torch
from torch import Tensor, nn

from ..errors import LampError
from ..files import new_file
from ..models.lamp import Lamp
from ..models.quantization import quantize_weight
from ..models.tokenizer import Encoder
from .decoder import FusedDecoder, taps
from .generator import FusedGenerator
from .layers import FeedForward, NormLinear, Precision, ResidualLinear
from .text import FusedText, memory_projection

Storage = Literal["f32", "bf16", "int8"]
STORAGES: tuple[Storage, ...] = ("f32", "bf16", "int8")
VERSION = 1

_EXACT = Precision(torch.float32)
_DATA_ALIGNMENT = 64
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int8: "I8", torch.uint8: "U8"}


def write_native(file: str | os.PathLike, lamp: Lamp, storage: Storage = "f32") -> None:
    """Write the file. Raises `LampError` for an unknown storage, weights that are not finite, an unwritable file."""
    config, tensors = native_config(lamp), native_tensors(lamp, storage)
    with new_file(file) as partial, partial.open("wb") as stream:
        _write(stream, config, tensors)


def native_bytes(lamp: Lamp, storage: Storage = "f32") -> bytes:
    """What `write_native` writes."""
    stream = io.BytesIO()
    _write(stream, native_config(lamp), native_tensors(lamp, storage))
    return stream.getvalue()


def native_config(lamp: Lamp) -> dict:
    """Sizes and options, as the file holds them."""
    config, skeleton = lamp.config, lamp.skeleton
    text, generator, length = config.language_motion, config.generator, config.length
    return {
        "version": VERSION,
        "dataset": config.dataset,
        "joints": skeleton.num_joints,
        "features": skeleton.feature_dim,
        "frames_per_second": skeleton.fps,
        "codes": config.tokenizer.num_codes,
        "code_width": config.tokenizer.code_dim,
        "reads_motions": config.reads_motion,
        "generator": generator
        and {
            "layers": generator.num_layers,
            "width": generator.width,
            "heads": generator.num_heads,
            "feedforward": generator.feedforward_size,
            "condition_width": generator.condition_dim,
            "max_tokens": generator.max_tokens,
            "attention": generator.attention_mode,
            "padding": generator.padding,
            "eps": lamp.generator.layers[0].norm1.eps,
            "head_eps": lamp.generator.head.norm.eps,
        },
        "text": {
            "words": text.vocab_size,
            "layers": text.num_layers,
            "width": text.hidden_size,
            "heads": text.num_heads,
            "feedforward": text.intermediate_size,
            "max_positions": text.max_positions,
            "max_tokens": text.max_text_tokens,
            "padding": text.padding,
            "eps": text.layer_norm_eps,
        },
        "queries": {
            "count": text.num_queries,
            "feedforward": text.query_intermediate_size,
            "cross_attention_every": text.cross_attention_every,
        },
        "motion": {"code_width": text.code_dim, "embedding_width": text.embed_dim},
        "encoder": _convolutions(lamp.tokenizer.encoder),
        "motion_encoder": lamp.motion_encoder and _convolutions(lamp.motion_encoder.encoder),
        "decoder": _convolutions(lamp.tokenizer.decoder),
        "length": length
        and {"hidden": length.hidden_size, "max_tokens": length.max_tokens, "eps": lamp.length.mlp[1].eps},
    }


def _convolutions(model: nn.Module) -> dict:
    return {
        "width": model.input.out_channels,
        "dilations": [block.conv1.dilation[0] for block in model.blocks[0]],
    }


@torch.no_grad()
def native_tensors(lamp: Lamp, storage: Storage = "f32") -> dict[str, Tensor]:
    """The tensors of the file by name, on the CPU.

    Raises `LampError` for an unknown storage, and for weights that are not finite.
    """
    if storage not in STORAGES:
        raise LampError(f"storage is {storage!r}, expected one of {', '.join(STORAGES)}")
    lamp.eval()
    tensors = _Tensors(storage)
    words = "".join(piece + "\n" for piece in lamp.text_tokenizer.pieces).encode()
    tensors.values["vocabulary"] = torch.frombuffer(bytearray(words), dtype=torch.uint8)
    tensors.vector("statistics.mean", lamp.mean)
    tensors.vector("statistics.std", lamp.std)
    tensors.vector("codebook", lamp.tokenizer.codebook.vectors)
    if lamp.generator is not None:
        _generator(tensors, FusedGenerator(lamp.generator, _EXACT))
    _language_motion(tensors, lamp)
    _encoder(tensors, "encoder", lamp.tokenizer.encoder)
    if lamp.motion_encoder is not None:
        _encoder(tensors, "motion_encoder", lamp.motion_encoder.encoder)
    _decoder(tensors, FusedDecoder(lamp.tokenizer.decoder, torch.float32))
    if lamp.length is not None:
        _length(tensors, lamp.length.mlp)
    return tensors.values


class _Tensors:
    """Tensors under their names, each as it is stored."""

    def __init__(self, storage: Storage):
        self.storage = storage
        self.values: dict[str, Tensor] = {}

    def vector(self, name: str, value: Tensor) -> None:
        self.values[name] = _finite(name, value.detach().float().cpu())

    def matrix(self, name: str, weight: Tensor, row_dims: int = 1) -> None:
        """weight (O,...), of which the first `row_dims` dimensions count rows."""
        name = f"{name}.weight"
        weight = _finite(name, weight.detach().float().cpu())
        if self.storage == "int8":
            rows = weight.flatten(row_dims).flatten(0, row_dims - 1)
            values, scale = quantize_weight(rows, "int8")
            self.values[name] = values.view(weight.shape)
            self.values[name.replace(".weight", ".scale")] = scale.view(weight.shape[:row_dims])
        else:
            self.values[name] = weight if self.storage == "f32" else weight.bfloat16()

    def table(self, name: str, weight: Tensor) -> None:
        """A matrix whose rows mix things of different sizes, so that one scale for a row would not do."""
        self.values[f"{name}.weight"] = _finite(
            name, weight.float().cpu() if self.storage == "f32" else weight.bfloat16().cpu()
        )

    def linear(self, name: str, layer: NormLinear | nn.Linear) -> None:
        self.matrix(name, layer.weight)
        self.vector(f"{name}.bias", layer.bias)

    def residual(self, name: str, layer: ResidualLinear) -> None:
        self.linear(name, layer)
        if layer.scale is not None:
            self.norm(name, layer.scale, layer.shift)

    def norm(self, name: str, scale: Tensor, shift: Tensor) -> None:
        self.vector(f"{name}.norm_scale", scale)
        self.vector(f"{name}.norm_shift", shift)

    def feed_forward(self, name: str, layer: FeedForward) -> None:
        self.linear(f"{name}.expand", layer.expand)
        self.residual(f"{name}.contract", layer.contract)

    def conv(self, name: str, weight: Tensor, bias: Tensor) -> None:
        """As `engine.decoder.taps` gives them."""
        self.matrix(name, weight.transpose(0, 1) if weight.ndim == 3 else weight)
        self.vector(f"{name}.bias", bias)


def _finite(name: str, value: Tensor) -> Tensor:
    if not value.isfinite().all():
        raise LampError(f"the model's {name} holds NaN or infinite values; train or download it again")
    return value


def _generator(tensors: _Tensors, model: FusedGenerator) -> None:
    tensors.table("generator.table", model.table)
    tensors.table("generator.positions", model.positions)
    tensors.matrix("generator.condition", model.condition_weight)
    tensors.vector("generator.condition.bias", model.condition_bias)
    for i, (output, feed_forward) in enumerate(zip(model.outputs, model.feed_forwards)):
        if i > 0:
            tensors.linear(f"generator.{i}.qkv", model.attentions[i - 1].project)
        tensors.residual(f"generator.{i}.attention_output", output)
        tensors.feed_forward(f"generator.{i}", feed_forward)
    tensors.linear("generator.dense", model.dense)
    tensors.linear("generator.logits", model.logits)


def _language_motion(tensors: _Tensors, lamp: Lamp) -> None:
    model = lamp.language_motion
    fused = FusedText(model, _EXACT)
    tensors.matrix("text.words", fused.words)
    tensors.matrix("text.positions", fused.positions)
    for i, (attention, output, feed_forward) in enumerate(fused.text_layers):
        tensors.linear(f"text.{i}.qkv", attention.project)
        tensors.residual(f"text.{i}.attention_output", output)
        tensors.feed_forward(f"text.{i}", feed_forward)
    tensors.linear("text.memory", fused.memory)

    tensors.vector("queries.start", fused.queries)
    for i, (own, read, feed_forward) in enumerate(fused.query_layers):
        if own is not None:
            attention, output = own
            tensors.linear(f"queries.{i}.qkv", attention.project)
            tensors.residual(f"queries.{i}.attention_output", output)
        if read is not None:
            query, output = read
            tensors.linear(f"queries.{i}.cross_query", query)
            tensors.residual(f"queries.{i}.cross_output", output)
        tensors.feed_forward(f"queries.{i}", feed_forward)
    tensors.norm("queries", fused.norm.weight, fused.norm.bias)

    if lamp.config.reads_motion:
        weight, bias = memory_projection(model, model.motion_projection)
        tensors.matrix("motion.memory", weight)
        tensors.vector("motion.memory.bias", bias)
        for name, norm, linear in (
            ("text", model.layers[-1].text_feed_forward.norm, model.text_proj),
            ("motion", fused.norm, model.motion_proj),
        ):
            tensors.linear(f"{name}.embedding", NormLinear(norm, linear.weight, linear.bias, _EXACT))


def _encoder(tensors: _Tensors, name: str, encoder: Encoder) -> None:
    tensors.conv(f"{name}.input", *taps(encoder.input, torch.float32))
    for s, (down, blocks) in enumerate(zip(encoder.down, encoder.blocks)):
        tensors.conv(f"{name}.{s}.down", *taps(down, torch.float32))
        for i, block in enumerate(blocks):
            tensors.conv(f"{name}.{s}.block.{i}.conv1", *taps(block.conv1, torch.float32))
            tensors.conv(f"{name}.{s}.block.{i}.conv2", *taps(block.conv2, torch.float32))
    tensors.conv(f"{name}.output", *taps(encoder.output, torch.float32))


def _decoder(tensors: _Tensors, decoder: FusedDecoder) -> None:
    tensors.conv("decoder.input", *decoder.input)
    for s, (blocks, (weight, bias)) in enumerate(zip(decoder.blocks, decoder.ups)):
        for i, (weight1, bias1, weight2, bias2, _) in enumerate(blocks):
            tensors.conv(f"decoder.{s}.block.{i}.conv1", weight1, bias1)
            tensors.conv(f"decoder.{s}.block.{i}.conv2", weight2, bias2)
        tensors.matrix(f"decoder.{s}.up", weight.transpose(1, 2), row_dims=2)
        tensors.vector(f"decoder.{s}.up.bias", bias)
    tensors.conv("decoder.hidden", *decoder.hidden)
    tensors.conv("decoder.output", *decoder.output)


def _length(tensors: _Tensors, mlp: nn.Sequential) -> None:
    for name, linear, norm in (("first", mlp[0], mlp[1]), ("second", mlp[4], mlp[5])):
        tensors.linear(f"length.{name}", linear)
        tensors.norm(f"length.{name}", norm.weight, norm.bias)
    tensors.linear("length.logits", mlp[8])


def _write(stream: BinaryIO, config: dict, tensors: dict[str, Tensor]) -> None:
    """safetensors: the length of the header, the header, the tensors without gaps, those of larger numbers first."""
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {"__metadata__": {"lamp_fast": json.dumps(config)}}, 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.nbytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _DATA_ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        stream.write(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
