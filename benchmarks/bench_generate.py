"""Whole generations, tokens and decoder, in the sizes of models and batches that count; the ways are in ways.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from measure import Case, NotHere, Plan
from models import CONFIGS, WORDS_OF_A_PROMPT, new_prompts, random_lamp
from torch import Tensor
from ways import Asked, CompiledGraph, Eager, Engine, Released, Way

from lamp_fast import native_cuda
from lamp_fast.profiling.peaks import device_peaks
from lamp_fast.profiling.work import decoder_work, decoding_work, text_work

# What the project has set itself a target for; measured first.
TARGETS = (
    ("8x384", 1, 10, "cached"),
    ("8x384", 32, 10, "cached"),
    ("8x384", 256, 10, "cached"),
    ("8x384", 1, 10, "new"),
    ("8x512", 1, 10, "cached"),
)
CPU_SECONDS = 2.0  # a call that would take a CPU longer, at half its peak, is left to a GPU
# Of the ids of a way's checks (`Way.checks`), so many are the released ones. Over ten steps in bfloat16 only few would
# be: one other token changes all that follow. Frames are compared at equal ids.
AGREEMENT = {"float32": 0.95, "one step": 0.8}
FRAMES = {torch.float32: 1e-4, torch.bfloat16: 3e-2}


class Result(NamedTuple):
    """ids (B,N) int64, features (B,4N,F), and what was asked of which way."""

    ids: Tensor
    features: Tensor
    asked: Asked
    way: Way


def cases() -> Iterator[Plan]:
    """Ends with the smallest model, for rehearsals."""
    models = [name for name in CONFIGS if name != "tiny"]
    for model, steps, prompt, batch in product(models, (10, 18), ("cached", "new"), (1, 4, 32, 256)):
        key = (model, batch, steps, prompt)
        yield Plan(
            f"generate {model} batch {batch} {steps} steps {prompt} prompt",
            partial(build, model, batch, steps, prompt == "new", key in TARGETS),
            rank=0 if key in TARGETS else 4 + (steps == 18) + (prompt == "new") + (batch == 4),
        )
    for prompt in ("cached", "new"):
        yield Plan(
            f"generate tiny batch 3 10 steps {prompt} prompt", partial(build, "tiny", 3, 10, prompt == "new", True), 9
        )


def build(model: str, batch: int, steps: int, new: bool, compiled: bool = False) -> Case:
    """compiled: with the way of torch.compile, which takes a minute to begin with."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = CONFIGS[model]
    tokens = config.generator.max_tokens
    work = decoding_work(config.generator, batch, tokens, steps) + decoder_work(config.tokenizer, batch, tokens)
    if new:
        work += text_work(config.language_motion, batch, WORDS_OF_A_PROMPT + 2)
    seconds = 2 * work.flops / device_peaks(device).flops["fp32"]
    if device.type == "cpu" and seconds > CPU_SECONDS:
        raise NotHere(f"a call would take this CPU about {seconds:.0f} seconds")

    lamp = random_lamp(model, device)
    released = Released(lamp, batch, steps)
    ways: dict[str, Way] = {"released": released, "eager bf16": Eager(lamp, batch, steps)}
    ways["engine bf16"] = Engine(lamp, batch, steps, torch.bfloat16)
    if device.type == "cpu":
        ways["engine fp32"] = Engine(lamp, batch, steps, torch.float32)
    if device.type == "cuda":
        on = {"engine": None} | ({"native": "native"} if native_cuda.why_not() is None else {})
        for dependent in (False, True) if torch.cuda.get_device_capability() >= (9, 0) else (False,):
            for name, backend in on.items():
                ways[f"{name} bf16{' pdl' * dependent}"] = Engine(
                    lamp, batch, steps, torch.bfloat16, backend=backend, dependent_launch=dependent
                )
        if compiled:
            ways["compile + graph"] = CompiledGraph(lamp, batch, steps, new)
    random = torch.Generator(device).manual_seed(1)
    condition = torch.randn(batch, config.generator.condition_dim, generator=random, device=device)

    def call(way: Way) -> Callable[[], Result]:
        prompts = new_prompts(model, batch)

        @torch.no_grad()
        def run() -> Result:
            asked = next(prompts) if new else condition
            return Result(*way(asked), asked, way)

        return run

    return Case(
        ways={name: call(way) for name, way in ways.items()},
        compare=partial(compare, released),
        device=device,
        flops=work.flops,
        bytes=work.bytes,
        numbers="bf16",
    )


@torch.no_grad()
def compare(released: Released, expected: Result, got: Result) -> dict[str, float]:
    """Tokens against the released ones, frames against the released decoder on the same tokens."""
    ids, features, asked, way = got
    right = released.decode(ids)
    error = ((features.float() - right).norm() / right.norm()).item()
    assert error <= FRAMES[way.dtype], f"the frames of the same tokens are off by {error:.2g} of their norm"
    figures = {"frames_error": error}
    unchecked = []
    for name, (draw, steps) in way.checks.items():
        try:
            drawn = draw(asked)
        except Exception as error:  # the same code in another precision may not run; then the other check decides
            unchecked.append(f"{name}: {error}")
            continue
        agreement = (drawn == released.ids(asked, steps)).double().mean().item()
        assert agreement >= AGREEMENT[name], f"{name}: {agreement:.0%} of the tokens are the released ones"
        figures[f"agreement {name}"] = agreement
    assert len(unchecked) < len(way.checks), f"nothing could be checked: {'; '.join(unchecked)}"
    figures["agreement"] = (ids == released.ids(asked, released.steps)).double().mean().item()
    return figures
