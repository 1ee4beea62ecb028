"""Generator and decoder as the native core runs them on an NVIDIA GPU: a request is one launch of one CUDA graph."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from ..errors import LampError, call_native
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from ..native_cuda import address, stream_of, why_not
from .native_file import native_bytes
from .streams import InTurn

MAX_PLANS = 64  # the one used longest ago makes room


class CudaGenerator:
    """Draws tokens as `decoding.draw_masked` and decodes them, with the weights of `lamp`, on the GPU where it lies.

    dtype: of weights and activations, float32 (products of 3xTF32) or bfloat16; sums are float32. A plan, its memory
    and its graph, is kept for each shape of request. Requests of one CudaGenerator follow one another, from whichever
    threads and streams they come.
    dependent_launch: kernels begin before those in front of them end; from compute capability 9.0 on.

    Raises LampError where the native core has no GPU, and for a dtype or a model that it does not cover there.
    """

    def __init__(self, lamp: Lamp, dtype: torch.dtype = torch.bfloat16, dependent_launch: bool = False):
        reason = why_not()
        if reason is not None:
            raise LampError(f"the native core cannot run on a GPU here: {reason}")
        from .. import _native

        self._cuda, self._dependent_launch = _native.cuda, dependent_launch
        self._num_codes = lamp.config.generator.num_codes
        self._turn = InTurn(lamp.device)
        self._plans: OrderedDict[tuple[int, int, int, bool, bool], object] = OrderedDict()
        with stream_of(lamp.mean):
            numbers = str(dtype).removeprefix("torch.")
            self._generator = call_native(_native.cuda.Generator, native_bytes(lamp), numbers)

    @property
    def nbytes(self) -> int:
        """Of the GPU's memory that weights and plans hold."""
        return self._generator.bytes + sum(plan.bytes for plan in list(self._plans.values()))

    def draw(
        self,
        options: DecodingOptions,
        condition: Tensor,
        ids: Tensor,
        lengths: Tensor | None,
        seeds: Tensor,
        samples: Tensor | None,
    ) -> Tensor:
        """condition (B,C), ids (B,N) int64 with the mask id where a code is wanted, lengths (B,) in tokens or None
        -> ids (B,N), the pad id beyond a length."""
        drawn = torch.empty_like(ids)
        self._request(options, condition, ids, lengths, seeds, samples, (drawn, None, None))
        return drawn

    def make(
        self,
        options: DecodingOptions,
        condition: Tensor,
        ids: Tensor,
        lengths: Tensor | None,
        seeds: Tensor,
        samples: Tensor | None,
    ) -> dict[str, Tensor]:
        """As `draw`, and the tokens' features (B,T,F), in the data set's units, and joints (B,T,J,3), zeros beyond a
        length."""
        drawn, motions = torch.empty_like(ids), self._motions(ids)
        self._request(options, condition, ids, lengths, seeds, samples, (drawn, *motions))
        return {"tokens": drawn, "features": motions[0], "joints": motions[1]}

    def decode(self, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """tokens (B,N) int64, lengths (B,) -> features and joints, as `make`; N of any size."""
        motions = self._motions(tokens)
        self._launch((0, False), (None, tokens, lengths, None, None), (1.0, 1.0, 1), (None, *motions))
        return motions

    def _motions(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Room for features and joints."""
        generator, (batch, n) = self._generator, tokens.shape
        shapes = (generator.features,), (generator.joints, 3)
        frames = batch, generator.frames_of_token * n
        features, joints = (torch.empty(*frames, *shape, device=tokens.device) for shape in shapes)
        return features, joints

    def _request(
        self,
        options: DecodingOptions,
        condition: Tensor,
        ids: Tensor,
        lengths: Tensor | None,
        seeds: Tensor,
        samples: Tensor | None,
        results: tuple[Tensor | None, ...],
    ) -> None:
        sampling = options.sampling(self._num_codes)
        self._launch(
            (options.num_inference_steps, options.guided),
            (condition.detach(), ids, lengths, seeds, samples),
            (sampling["guidance_scale"], sampling["temperature"], sampling["top_k"]),
            results,
        )

    def _launch(
        self,
        steps: tuple[int, bool],
        given: tuple[Tensor | None, ...],
        sampling: tuple[float, float, int],
        results: tuple[Tensor | None, ...],
    ) -> None:
        """steps: how many, and whether they are guided. Of what is given the second are the ids."""
        dtypes = torch.float32, *[torch.int64] * 4
        given = [None if tensor is None else tensor.to(dtype).contiguous() for tensor, dtype in zip(given, dtypes)]
        shape = (*given[1].shape, *steps, results[-1] is not None)
        with self._turn, stream_of(given[1]) as stream:
            launch = self._plan(shape).launch
            call_native(launch, *map(address, given), *sampling, *map(address, results), stream)

    def _plan(self, shape: tuple[int, int, int, bool, bool]) -> object:
        """What runs requests of a shape: samples, tokens, steps, guided, decodes."""
        if shape not in self._plans:
            *sizes, decodes = shape
            plan = call_native(self._cuda.Plan, self._generator, *sizes, self._dependent_launch, decodes)
            self._plans[shape] = plan
        self._plans.move_to_end(shape)
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return self._plans[shape]
