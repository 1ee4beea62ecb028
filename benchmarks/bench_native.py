"""The native core on a CPU beside all else that runs the same network: 49 tokens to 196 frames, prompt cached."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from bench_generate import Result, compare
from measure import Case, NotHere, Plan
from models import random_lamp
from torch import Tensor, nn
from ways import GUIDANCE, SEED, CompiledGraph, Eager, Engine, Released, Way

from lamp_fast.backend import Backend, available, use_backend
from lamp_fast.models.decoding import DecodingOptions, draw_masked, initial_ids, masked_counts
from lamp_fast.models.lamp import Lamp
from lamp_fast.profiling.work import decoder_work, decoding_work

MODELS = {"8x384": 1, "lamp-mini": 1, "8x512": 3}  # and how important each is
STEPS = 10
# Names say which are the case's: compiling alone takes a minute or two.
GROUPS = {"": ("onnxruntime", "openvino bf16"), " compiled": ("torch.compile bf16",)}


def cases() -> Iterator[Plan]:
    for model, rank in MODELS.items():
        for group, others in GROUPS.items():
            name = f"native {model} batch 1 {STEPS} steps{group}"
            yield Plan(name, partial(build, model, others), rank + (3 if group else 0))


def build(model: str, others: tuple[str, ...]) -> Case:
    device = torch.device("cpu")
    if torch.cuda.is_available():
        raise NotHere("this machine is for its GPU; CUDA_VISIBLE_DEVICES= hides it")
    if not available()[Backend.NATIVE].works:
        raise NotHere(available()[Backend.NATIVE].reason)
    lamp = random_lamp(model, device)
    config = lamp.config
    released = Released(lamp, 1, STEPS)
    ways: dict[str, Way] = {
        "released": released,
        "eager bf16": Eager(lamp, 1, STEPS),
        "engine bf16": Engine(lamp, 1, STEPS, torch.bfloat16, backend="eager"),
        "native f32": Engine(lamp, 1, STEPS, torch.float32),
        "native bf16": Engine(lamp, 1, STEPS, torch.bfloat16),
        "native int8": Engine(lamp, 1, STEPS, torch.bfloat16, weights="int8"),
    }
    if "torch.compile bf16" in others:
        ways["torch.compile bf16"] = CompiledGraph(lamp, 1, STEPS, False)
    if "onnxruntime" in others and find_spec("onnxruntime"):
        ways["onnxruntime"] = Exported(lamp, onnxruntime_session, torch.float32)
    if "openvino bf16" in others and find_spec("openvino"):
        ways["openvino bf16"] = Exported(lamp, openvino_session, torch.bfloat16)
    random = torch.Generator().manual_seed(1)
    condition = torch.randn(1, config.generator.condition_dim, generator=random)

    def call(way: Way) -> Callable[[], Result]:
        return torch.no_grad()(lambda: Result(*way(condition), condition, way))

    tokens = config.generator.max_tokens
    work = decoding_work(config.generator, 1, tokens, STEPS) + decoder_work(config.tokenizer, 1, tokens)
    return Case(
        ways={name: call(way) for name, way in ways.items()},
        compare=partial(compare, released),
        device=device,
        flops=work.flops,
        bytes=work.bytes,
        numbers="bf16",
    )


Session = Callable[..., Tensor]


class Step(nn.Module):
    """Both branches of the guidance in one batch: ids (1,N), condition (1,C) -> logits (2,N,K)."""

    def __init__(self, lamp: Lamp):
        super().__init__()
        self.generator = lamp.generator

    def forward(self, ids: Tensor, condition: Tensor) -> Tensor:
        both = torch.cat((condition, torch.zeros_like(condition)))
        return self.generator(ids.repeat(2, 1), both, None)


class Decode(nn.Module):
    """ids (1,N) -> features (1,4N,F)."""

    def __init__(self, lamp: Lamp):
        super().__init__()
        self.tokenizer = lamp.tokenizer

    def forward(self, ids: Tensor) -> Tensor:
        return self.tokenizer.decode(ids)


class Exported:
    """The models as ONNX in another runtime, what is between them by our operators: as a user of that runtime would."""

    def __init__(self, lamp: Lamp, session: Callable[[Path], Session], dtype: torch.dtype):
        self.lamp, self.dtype, config = lamp, dtype, lamp.config.generator
        self.lengths, self.samples = torch.tensor([config.max_tokens]), torch.tensor([0])
        self.ids = initial_ids(self.lengths, None, config.max_tokens, config)
        condition = torch.zeros(1, config.condition_dim)
        with tempfile.TemporaryDirectory() as folder:
            self.step = session(write(Step(lamp), (self.ids, condition), Path(folder, "step.onnx")))
            self.decode = session(write(Decode(lamp), (torch.zeros_like(self.ids),), Path(folder, "decode.onnx")))
        self.checks = {"one step": (lambda asked: self.draw(asked, 1), 1)}
        if dtype == torch.float32:
            self.checks = {"float32": (lambda asked: self.draw(asked, STEPS), STEPS)}

    def __call__(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        ids = self.draw(asked, STEPS)
        return ids, self.decode(ids)

    def draw(self, condition: Tensor, steps: int) -> Tensor:
        def score(ids: Tensor, limit: int) -> tuple[Tensor, Tensor]:
            return self.step(ids, condition).chunk(2)

        counts, options = masked_counts(self.lengths, steps), DecodingOptions(steps, GUIDANCE)
        seeds, codes = torch.full_like(self.samples, SEED), self.lamp.config.generator.num_codes
        with use_backend("native"):
            return draw_masked(score, self.ids, counts, codes, options, seeds=seeds, samples=self.samples)


def write(model: nn.Module, inputs: tuple[Tensor, ...], file: Path) -> Path:
    with use_backend("eager"), torch.no_grad():
        torch.onnx.export(model, inputs, file, dynamo=False, opset_version=17)
    return file


def onnxruntime_session(file: Path) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda *values: torch.from_numpy(session.run(None, {n: v.numpy() for n, v in zip(names, values)})[0])


def openvino_session(file: Path) -> Session:
    import openvino

    hints = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(openvino.Core().read_model(file), "CPU", hints).create_infer_request()
    return lambda *values: torch.from_numpy(request.infer([v.numpy() for v in values])[0].copy())
