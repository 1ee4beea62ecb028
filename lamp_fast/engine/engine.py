"""From prompts to joints without waiting for the host."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..config import FRAMES_PER_TOKEN
from ..errors import LampError
from ..kernels.dependent_launch import dependent_launches
from ..models.decoding import (
    DEFAULT_OPTIONS,
    DecodingOptions,
    draw_masked,
    initial_ids,
    masked_counts,
    num_tokens,
)
from ..models.lamp import Lamp
from ..models.quantization import Numbers
from ..models.seeding import row_samples, row_seeds
from .decoder import FusedDecoder
from .generator import FusedGenerator
from .layers import Precision
from .native import NativeModels, why_not_native
from .native_cuda import CudaGenerator
from .static import StaticCall
from .text import FusedText, PromptCache

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS_APART = 16  # lengths of one bucket differ by less
MAX_CALLS = 64  # buckets prepared at a time; the one used longest ago makes room

# Below, a step is bound by the number of launches, and one that picks the masked rows costs more than it saves.
ROWS_WORTH_PICKING = 1024


@dataclass(frozen=True)
class Motions:
    """B motions on the engine's device; what lies beyond a motion's length is the pad id, or zero.

    tokens (B,N) int64, lengths (B,) int64 in tokens on the CPU, features (B,4N,F) float32 in the data set's own units,
    joints (B,4N,J,3) float32, metres.
    """

    tokens: Tensor
    lengths: Tensor
    features: Tensor
    joints: Tensor


class LampEngine:
    """A `Lamp` ready to run: weights multiplied out, buffers allocated once, a CUDA graph for each bucket of sizes.

    A call is rounded up to a bucket of batch and length, which changes no result (`padding="exact"`). On a GPU each
    bucket is one graph, from word ids to joints, captured when it is first used or by `warm_up`; on a CPU the sizes are
    as they are, and the native core does the work where it can. Made with backend native in force it does so on a GPU
    too: a graph of its own from the condition to joints. `native_reason` says why not. Safe to call from several
    threads and streams.

    Args:
        lamp: the model, on the device where the engine is to run.
        dtype: of weights and activations; by default bfloat16 on a GPU and float32 on a CPU.
        weights: "int8" or "fp8" keeps the weights of the transformers in 8 bits; what that costs in accuracy is in
            docs/quantization.md.
        dependent_launch: kernels of a graph begin before the one in front has ended (`kernels/dependent_launch.py`);
            off until a GPU has shown what it gives.
        cached_prompts: how many prompts keep their conditions.

    Raises:
        LampError: a model without a generator, another dtype than float32, float16 and bfloat16, other weights than
            those, or weights that are not finite.
    """

    def __init__(
        self,
        lamp: Lamp,
        *,
        dtype: torch.dtype | None = None,
        weights: Numbers | None = None,
        dependent_launch: bool = False,
        cached_prompts: int = 4096,
    ):
        lamp.require("generator")
        self.device = lamp.device
        self.dtype = dtype or (torch.bfloat16 if self.device.type == "cuda" else torch.float32)
        if self.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise LampError(f"the engine computes in float32, float16 or bfloat16, not in {self.dtype}")
        self.lamp, self.config = lamp.eval(), lamp.config
        precision = Precision(self.dtype, weights)
        self._static, self._dependent_launch = self.device.type == "cuda", dependent_launch
        self.native_reason = why_not_native(lamp, precision)
        self._native: NativeModels | CudaGenerator | None = None
        if self.native_reason is None and self._static:
            self._native = CudaGenerator(lamp, self.dtype, dependent_launch)
        elif self.native_reason is None:
            self._native = NativeModels(lamp, precision)
        logger.info("the engine runs on %s", "the native core" if self._native else f"PyTorch: {self.native_reason}")
        if isinstance(self._native, NativeModels):
            self._text = self._native.condition
        else:
            exact = self.config.language_motion.padding == "exact"
            self._text = FusedText(lamp.language_motion, precision) if exact else self._released_text
        if self._native is None:
            self._generator = FusedGenerator(lamp.generator, precision)
            self._codebook = lamp.tokenizer.codebook.vectors.to(self.dtype)
            self._decoder = FusedDecoder(lamp.tokenizer.decoder, self.dtype)
        self._prompts = PromptCache(cached_prompts, self.config.generator.condition_dim, self.device)
        self._calls: OrderedDict[tuple, StaticCall] = OrderedDict()
        self._making = Lock()

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[str] | Tensor,
        lengths: Sequence[int] | Tensor,
        options: DecodingOptions = DEFAULT_OPTIONS,
        *,
        seed: int | Tensor = 0,
        samples: Tensor | None = None,
    ) -> Motions:
        """B prompts, or their conditions (B,D), and B lengths in tokens -> B motions.

        seed: one 64-bit number, or (B,) int64; samples (B,) int64, by default 0..B-1, tells apart rows of one seed.
        Equal (prompt, length, seed, sample) give equal motions in any batch, but for the rounding of `dtype`.

        Raises LampError for prompts that the text tokenizer refuses, and for lengths, seeds or samples out of range or
        of another shape.
        """
        condition = prompts if isinstance(prompts, Tensor) else self._cached(prompts)
        words = {"condition": condition} if condition is not None else self._words(prompts)
        inputs, width = self._requests(len(prompts), lengths, options, None, seed, samples)
        made = self._run(self._make, words | inputs, options)
        if condition is None:
            self._prompts.put(prompts, made["condition"])
        frames = FRAMES_PER_TOKEN * width
        return Motions(
            made["tokens"][:, :width], inputs["lengths"], made["features"][:, :frames], made["joints"][:, :frames]
        )

    @torch.inference_mode()
    def condition(self, prompts: Sequence[str]) -> Tensor:
        """B prompts -> the generator's condition (B,D) float32. Raises LampError as `generate`."""
        condition = self._cached(prompts)
        if condition is None:
            condition = self._run(self._read, self._words(prompts))["condition"]
            self._prompts.put(prompts, condition)
        return condition

    @torch.inference_mode()
    def tokens(
        self,
        condition: Tensor,
        lengths: Sequence[int] | Tensor,
        options: DecodingOptions = DEFAULT_OPTIONS,
        *,
        seed: int | Tensor = 0,
        samples: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """`models.decoding.generate` with the engine's weights: condition (B,D) -> ids (B,N)."""
        inputs, width = self._requests(len(condition), lengths, options, known, seed, samples)
        return self._run(self._draw, {"condition": condition} | inputs, options)["tokens"][:, :width]

    @torch.inference_mode()
    def decode(self, tokens: Tensor, lengths: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B,N) int64, lengths (B,) -> features (B,4N,F), joints (B,4N,J,3), as in `Motions`; N of any size."""
        width = tokens.shape[1]
        inputs = {"tokens": F.pad(tokens, (0, self._rounded(width) - width)), "lengths": torch.as_tensor(lengths)}
        made = self._run(self._decode, inputs)
        return made["features"][:, : FRAMES_PER_TOKEN * width], made["joints"][:, : FRAMES_PER_TOKEN * width]

    @torch.inference_mode()
    def warm_up(
        self,
        batches: Sequence[int] = (1,),
        lengths: Sequence[int] | None = None,
        options: DecodingOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Prepare the buckets of these batches and lengths (by default the longest), for prompts new and cached."""
        for batch in batches:
            for length in lengths or (self.config.generator.max_tokens,):
                inputs, _ = self._requests(batch, [length] * batch, options, None, 0, None)
                made = self._run(self._make, self._words(["a"] * batch) | inputs, options)
                self._run(self._make, {"condition": made["condition"]} | inputs, options)

    def memory(self) -> dict[str, int]:
        """Bytes of the fused weights and of the prompt cache; on a GPU also what torch has reserved for the process."""
        if self._native is not None:
            weights = self._native.nbytes + _bytes_of(self._text)
        else:
            weights = sum(map(_bytes_of, (self._generator, self._decoder, self._text, self._codebook)))
        report = {"weights": weights, "prompt cache": self._prompts.table.nbytes}
        if self.device.type == "cuda":
            report["reserved on the device"] = torch.cuda.memory_reserved(self.device)
        return report

    def _cached(self, prompts: Sequence[str]) -> Tensor | None:
        # What is no list of texts is left to the tokenizer, which says so.
        return self._prompts.get(prompts) if prompts and not isinstance(prompts, str) else None

    def _words(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Word ids (B,L) and how many of them are words (B,)."""
        config = self.config.language_motion
        whole = self._static or config.padding == "released"
        ids, mask = self.lamp.text_tokenizer(prompts, config.max_text_tokens, pad_to_max=whole)
        return {"input_ids": ids, "text_lengths": mask.sum(1)}

    def _rounded(self, width: int) -> int:
        """Tokens of the bucket that `width` tokens belong to; beyond the longest, every width is its own."""
        if not self._static:
            return width
        longest = self.config.generator.max_tokens
        return max(width, min(-(-width // TOKENS_APART) * TOKENS_APART, longest))

    def _requests(
        self,
        batch: int,
        lengths: Sequence[int] | Tensor,
        options: DecodingOptions,
        known: Tensor | None,
        seed: int | Tensor,
        samples: Tensor | None,
    ) -> tuple[dict[str, Tensor], int]:
        """What the graph reads beside the condition, rounded up to a bucket of lengths, and the width before that."""
        config, lengths = self.config.generator, torch.as_tensor(lengths).cpu()
        if lengths.shape != (batch,):
            raise LampError(f"lengths has shape {tuple(lengths.shape)}, expected {(batch,)}: one for each motion")
        width = num_tokens(lengths, known, config.max_tokens)
        ids = initial_ids(lengths, known, width, config)
        if config.padding == "exact":
            ids = F.pad(ids, (0, self._rounded(width) - width), value=config.pad_id)
        inputs = {
            "ids": ids,
            "lengths": lengths,
            "counts": masked_counts((ids == config.mask_id).sum(1), options.num_inference_steps),
            "seeds": row_seeds(seed, batch, lengths.device),
            "samples": row_samples(samples, batch, lengths.device),
        }
        return inputs, width

    def _run(self, function: Callable, inputs: dict[str, Tensor], *options: DecodingOptions) -> dict[str, Tensor]:
        """The function of options and inputs, called as it is or as the graph of its bucket."""
        if not self._static:
            return function(*options, **{name: value.to(self.device) for name, value in inputs.items()})
        batch = len(inputs["lengths"] if "lengths" in inputs else inputs["input_ids"])
        bucket = next((size for size in BATCHES if size >= batch), batch)
        shapes = {name: (bucket, *value.shape[1:]) for name, value in inputs.items()}
        key = (function.__name__, options, *shapes.items())
        with self._making:
            if key not in self._calls:
                # Rows that no request fills are requests of one token.
                examples = {
                    name: torch.full(shape, "lengths" in name, dtype=inputs[name].dtype, device=self.device)
                    for name, shape in shapes.items()
                }
                with dependent_launches() if self._dependent_launch else nullcontext():
                    # The native core has graphs of its own; what is left to capture then is reading.
                    capture = self.device.type == "cuda" and (self._native is None or function == self._read)
                    self._calls[key] = StaticCall(partial(function, *options), examples, capture)
            self._calls.move_to_end(key)
            if len(self._calls) > MAX_CALLS:
                self._calls.popitem(last=False)
            call = self._calls[key]
        return {name: value[:batch] for name, value in call(**inputs).items()}

    def _read(self, input_ids: Tensor, text_lengths: Tensor) -> dict[str, Tensor]:
        return {"condition": self._text(input_ids, text_lengths)}

    def _draw(
        self,
        options: DecodingOptions,
        condition: Tensor,
        ids: Tensor,
        lengths: Tensor,
        counts: Tensor,
        seeds: Tensor,
        samples: Tensor,
    ) -> dict[str, Tensor]:
        if self._native is not None:
            return {"tokens": self._native.draw(options, condition, ids, lengths, seeds, samples)}
        only_masked = self.device.type == "cpu" or ids.numel() >= ROWS_WORTH_PICKING
        lengths = _unless_all(lengths, ids.shape[1])
        score = self._generator.score(condition, lengths, options.guided, only_masked)
        num_codes = self.config.generator.num_codes
        return {"tokens": draw_masked(score, ids, counts, num_codes, options, seeds=seeds, samples=samples)}

    def _decode(self, tokens: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        if self._native is not None:
            codes = tokens.clamp(max=self.config.generator.num_codes - 1)
            return dict(zip(("features", "joints"), self._native.decode(codes, lengths)))
        latents = F.embedding(tokens.clamp(max=len(self._codebook) - 1), self._codebook)
        lengths = _unless_all(lengths, tokens.shape[1])
        normal = self._decoder(latents, lengths)
        frames = None if lengths is None else FRAMES_PER_TOKEN * lengths
        features, joints = ops.recover_joints(normal, self.lamp.mean, self.lamp.std, frames)
        return {"features": features, "joints": joints}

    def _make(
        self,
        options: DecodingOptions,
        lengths: Tensor,
        condition: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_lengths: Tensor | None = None,
        **request: Tensor,
    ) -> dict[str, Tensor]:
        """The whole way, from words or their condition to joints."""
        words = {"input_ids": input_ids, "text_lengths": text_lengths}
        if self._native is not None:
            condition = self._run(self._read, words)["condition"] if condition is None else condition
            return {"condition": condition} | self._native.make(
                options, condition, request["ids"], lengths, request["seeds"], request["samples"]
            )
        if condition is None:
            condition = self._read(**words)["condition"]
        drawn = self._draw(options, condition, lengths=lengths, **request)
        return {"condition": condition} | drawn | self._decode(drawn["tokens"], lengths)

    def _released_text(self, input_ids: Tensor, text_lengths: Tensor) -> Tensor:
        """The queries of the release read pads too."""
        mask = torch.arange(input_ids.shape[1], device=input_ids.device) < text_lengths[:, None]
        return self.lamp.language_motion.condition(input_ids, mask)


def _unless_all(lengths: Tensor, width: int) -> Tensor | None:
    """None where the host can see that every length is the width: without masks a CPU has less to do."""
    return None if lengths.device.type == "cpu" and bool((lengths == width).all()) else lengths


def _bytes_of(thing: object) -> int:
    """Of all tensors below an object of the engine."""
    if isinstance(thing, Tensor):
        return thing.nbytes
    if isinstance(thing, (list, tuple)):
        return sum(map(_bytes_of, thing))
    if type(thing).__module__.startswith(__package__):
        return sum(map(_bytes_of, vars(thing).values()))
    return 0
