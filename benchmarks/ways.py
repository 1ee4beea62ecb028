"""The ways from a condition, or a new prompt, to motion that bench_generate.py compares. 49 tokens to 196 frames.

released: the plain functions of lamp_fast.reference in float32, two passes a step, as released but for what would only
slow it down: the noise is drawn before, a batch is decoded at once, and no step waits for the host.
eager bf16: lamp_fast.models in bfloat16, both branches of the guidance in one batch.
compile + graph: the same under torch.compile, all steps and the decoder in one CUDA graph; noise drawn before as well.
engine: lamp_fast.engine, which goes on to joints; on a GPU one graph, its kernels in Triton.
native: the engine on csrc/cuda, from the condition to joints one graph.
pdl: engine or native with kernels that are dependent launches.
With a new prompt its text goes in front, in each way's own precision; the released way reads it by our float32 model.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import cache
from typing import Protocol

import torch
from models import WORDS_OF_A_PROMPT, released_decoder, released_generator
from torch import Tensor

from lamp_fast.backend import use_backend
from lamp_fast.engine import LampEngine
from lamp_fast.kernels.decode_step import decode_step_ref
from lamp_fast.kernels.philox import philox_uniform_ref
from lamp_fast.models.decoding import DecodingOptions, generate, masked_counts
from lamp_fast.models.lamp import Lamp
from lamp_fast.models.quantization import Numbers
from lamp_fast.reference import masked_transformer, vq

SEED, GUIDANCE = 0, 4.0

Asked = Tensor | list[str]  # conditions (B,C), or B new prompts


class Way(Protocol):
    """Called: ids (B,N) int64 and features (B,4N,F). dtype: what it computes in.

    checks: what tells a wrong way from one that rounds: by name a call that draws ids with the same code, and the
    number of steps it takes.
    """

    dtype: torch.dtype
    checks: dict[str, tuple[Callable[[Asked], Tensor], int]]

    def __call__(self, asked: Asked) -> tuple[Tensor, Tensor]: ...


@cache
def as_bf16(lamp: Lamp) -> Lamp:
    return deepcopy(lamp).bfloat16()


def condition_of(lamp: Lamp, asked: Asked) -> Tensor:
    with use_backend("eager"):
        condition = asked if isinstance(asked, Tensor) else lamp.condition(asked)
    return condition.to(lamp.generator.condition_projection.weight.dtype)


def noise_of(lamp: Lamp, batch: int, steps: int) -> Tensor:
    """What the seed stands for: (S,B,N,K) uniform."""
    samples, config = torch.arange(batch, device=lamp.device), lamp.config.generator
    seeds, size = torch.full_like(samples, SEED), (config.max_tokens, config.num_codes)
    return torch.stack([philox_uniform_ref(seeds, samples, step, *size) for step in range(steps)])


class Released:
    dtype = torch.float32

    def __init__(self, lamp: Lamp, batch: int, steps: int):
        self.lamp, self.steps, config = lamp, steps, lamp.config.generator
        self.generator, self.decoder = released_generator(lamp), released_decoder(lamp)
        self.lengths = torch.full((batch,), config.max_tokens, device=lamp.device)
        self.noise = noise_of(lamp, batch, steps)
        self.checks = {"float32": (lambda asked: self(asked)[0], steps)}

    def __call__(self, asked: Asked) -> tuple[Tensor, Tensor]:
        ids = self.ids(asked, self.steps)
        return ids, self.decode(ids)

    def ids(self, asked: Asked, steps: int) -> Tensor:
        """Drawn in so many steps, at most as many as the way has."""
        condition, noise = condition_of(self.lamp, asked), self.noise[:steps]
        heads = self.lamp.config.generator.num_heads
        run = masked_transformer.generate(self.generator, condition, self.lengths, noise, heads, cond_scale=GUIDANCE)
        return run[-1].ids

    def decode(self, ids: Tensor) -> Tensor:
        codes = torch.nn.functional.embedding(ids, self.decoder["vqvae.quantizer.codebook"])
        return vq.decode(self.decoder, codes.transpose(1, 2))


class Eager:
    dtype = torch.bfloat16

    def __init__(self, lamp: Lamp, batch: int, steps: int):
        self.half, self.steps = as_bf16(lamp), steps
        self.lengths = [lamp.config.generator.max_tokens] * batch
        self.checks = {
            "float32": (lambda asked: self.ids(lamp, asked, steps), steps),
            "one step": (lambda asked: self.ids(self.half, asked, 1), 1),
        }

    def __call__(self, asked: Asked) -> tuple[Tensor, Tensor]:
        ids = self.ids(self.half, asked, self.steps)
        with use_backend("eager"):
            return ids, self.half.tokenizer.decode(ids)

    def ids(self, lamp: Lamp, asked: Asked, steps: int) -> Tensor:
        with use_backend("eager"):
            options = DecodingOptions(steps, GUIDANCE)
            return generate(lamp.generator, condition_of(lamp, asked), self.lengths, options, seed=SEED)


@cache
def engine_of(
    lamp: Lamp, dtype: torch.dtype, weights: Numbers | None, backend: str | None, dependent_launch: bool
) -> LampEngine:
    with nullcontext() if backend is None else use_backend(backend):
        return LampEngine(lamp, dtype=dtype, weights=weights, dependent_launch=dependent_launch)


class Engine:
    def __init__(
        self,
        lamp: Lamp,
        batch: int,
        steps: int,
        dtype: torch.dtype,
        weights: Numbers | None = None,
        backend: str | None = None,
        dependent_launch: bool = False,
    ):
        self.lamp, self.steps, self.dtype = lamp, steps, dtype
        self.how = backend, dependent_launch
        self.numbers = dtype, weights
        self.lengths = [lamp.config.generator.max_tokens] * batch
        self.checks = {"float32": (lambda asked: self._run(asked, steps, torch.float32)[0], steps)}
        if self.numbers != (torch.float32, None):
            self.checks["one step"] = (lambda asked: self._run(asked, 1, *self.numbers)[0], 1)

    def __call__(self, asked: Asked) -> tuple[Tensor, Tensor]:
        return self._run(asked, self.steps, *self.numbers)

    def _run(
        self, asked: Asked, steps: int, dtype: torch.dtype, weights: Numbers | None = None
    ) -> tuple[Tensor, Tensor]:
        options, engine = DecodingOptions(steps, GUIDANCE), engine_of(self.lamp, dtype, weights, *self.how)
        motions = engine.generate(asked, self.lengths, options, seed=SEED)
        return motions.tokens, motions.features


class CompiledGraph:
    """Each step and the decoder under torch.compile, one CUDA graph around all, as a user of torch would write it."""

    dtype = torch.bfloat16

    def __init__(self, lamp: Lamp, batch: int, steps: int, new: bool):
        self.lamp, config = as_bf16(lamp), lamp.config.generator
        self.top_k = -(-config.num_codes // 10)
        device, n = lamp.device, config.max_tokens
        self.masked = torch.full((batch, n), config.mask_id, device=device)
        self.lengths = torch.full((2 * batch,), n, device=device)
        self.unconditional = torch.arange(2 * batch, device=device) >= batch
        self.noise, self.nobody = noise_of(lamp, batch, steps), torch.zeros(batch, dtype=torch.int64, device=device)
        self.counts = masked_counts(torch.full((batch,), n, device=device), steps).T[1:].contiguous()

        self.step = torch.compile(self._step, fullgraph=True, dynamic=False)
        self.decode = torch.compile(self.lamp.tokenizer.decode, fullgraph=True, dynamic=False)
        self.encode_text = torch.compile(self.lamp.language_motion.condition, fullgraph=True, dynamic=False)
        if new:
            self.inputs = tuple(value.to(device) for value in self._tokenized([" ".join(["w0"] * 10)] * batch))
        else:
            self.inputs = (torch.zeros(batch, config.condition_dim, dtype=self.dtype, device=device),)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.checks = {"one step": (self.one_step, 1)}

    def __call__(self, asked: Asked) -> tuple[Tensor, Tensor]:
        self._take(asked)
        if self.lengths.device.type == "cpu":
            return self.run()
        if self.graph is None:
            self._capture()
        self.graph.replay()
        return self.result

    def one_step(self, asked: Asked) -> Tensor:
        self._take(asked)
        return self._ids(self.counts[-1:])

    def run(self) -> tuple[Tensor, Tensor]:
        ids = self._ids(self.counts)
        return ids, self.decode(ids)

    def _take(self, asked: Asked) -> None:
        given = (asked,) if isinstance(asked, Tensor) else self._tokenized(asked)
        for static, value in zip(self.inputs, given, strict=True):
            static.copy_(value)

    def _tokenized(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        return self.lamp.text_tokenizer(prompts, WORDS_OF_A_PROMPT + 2)

    def _capture(self) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.run()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = self.run()

    def _ids(self, counts: Tensor) -> Tensor:
        condition = self.inputs[0] if len(self.inputs) == 1 else self.encode_text(*self.inputs)
        ids = self.masked
        for count, noise in zip(counts, self.noise):
            ids = self.step(ids, condition.repeat(2, 1), count, noise)
        return ids

    def _step(self, ids: Tensor, condition: Tensor, count: Tensor, noise: Tensor) -> Tensor:
        logits = self.lamp.generator(ids.repeat(2, 1), condition, self.lengths, self.unconditional)
        draw = (self.nobody, self.nobody, noise, 0, GUIDANCE, 1.0, self.top_k)
        return decode_step_ref(*logits.chunk(2), ids, count, *draw)[0]
