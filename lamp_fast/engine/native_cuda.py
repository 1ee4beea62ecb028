"""The generator as the native core runs it on an NVIDIA GPU: a request, from condition to tokens, is one CUDA graph."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import LampError
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from ..native_cuda import address, stream_of, why_not
from .native_file import native_bytes


class CudaGenerator:
    """Draws tokens as `decoding.draw_masked` with the generator of `lamp`, on the current GPU, without PyTorch.

    dtype: of weights and activations, float32 (products of 3xTF32) or bfloat16; sums are float32. A plan, its memory
    and its graph, is kept for each shape of request; requests of one CudaGenerator follow one another on one stream.
    dependent_launch: kernels begin before those in front of them end (compute capability 9.0 and up).

    Raises LampError where the native core has no GPU or does not know the dtype.
    """

    def __init__(self, lamp: Lamp, dtype: torch.dtype = torch.bfloat16, dependent_launch: bool = False):
        reason = why_not()
        if reason is not None:
            raise LampError(f"the native core cannot run on a GPU here: {reason}")
        from .. import _native

        self._cuda, self._dependent_launch = _native.cuda, dependent_launch
        self._num_codes = lamp.config.generator.num_codes
        try:
            self._generator = _native.cuda.Generator(native_bytes(lamp), str(dtype).removeprefix("torch."))
        except ValueError as error:
            raise LampError(str(error)) from error
        self._plans: dict[tuple[int, int, int, bool], object] = {}

    def plan(self, samples: int, tokens: int, options: DecodingOptions):
        """What runs requests of a shape; made when it is first needed."""
        shape = samples, tokens, options.num_inference_steps, options.guided
        if shape not in self._plans:
            self._plans[shape] = self._cuda.Plan(self._generator, *shape, self._dependent_launch)
        return self._plans[shape]

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
        sampling = options.sampling(self._num_codes)
        condition = condition.detach().float().contiguous()
        ids, seeds = ids.contiguous(), seeds.contiguous()
        lengths, samples = (None if t is None else t.to(torch.int64).contiguous() for t in (lengths, samples))
        drawn = torch.empty_like(ids)
        with stream_of(condition) as stream:
            self.plan(*ids.shape, options).launch(
                *map(address, (condition, ids, lengths, seeds, samples)),
                sampling["guidance_scale"],
                sampling["temperature"],
                sampling["top_k"],
                address(drawn),
                stream,
            )
        return drawn
