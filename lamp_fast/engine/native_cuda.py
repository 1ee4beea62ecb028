"""Generator and decoder as the native core runs them on an NVIDIA GPU: a request is one launch of one CUDA graph."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import LampError
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from ..native_cuda import address, stream_of, why_not
from .native_file import native_bytes


class CudaGenerator:
    """Draws tokens as `decoding.draw_masked` and decodes them, with the weights of `lamp`, on the current GPU.

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
        self._plans: dict[tuple[int, int, int, bool, bool], object] = {}

    def plan(self, samples: int, tokens: int, options: DecodingOptions, decodes: bool):
        """What runs requests of a shape; made when it is first needed."""
        shape = samples, tokens, options.num_inference_steps, options.guided, decodes
        if shape not in self._plans:
            self._plans[shape] = self._cuda.Plan(self._generator, *shape[:4], self._dependent_launch, decodes)
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
        drawn = torch.empty_like(ids)
        self._run(options, condition, ids, lengths, seeds, samples, (drawn, None, None))
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
        made, generator = {"tokens": torch.empty_like(ids)}, self._generator
        for name, shape in (("features", (generator.features,)), ("joints", (generator.joints, 3))):
            made[name] = condition.new_empty(
                len(ids), generator.frames_of_token * ids.shape[1], *shape, dtype=torch.float32
            )
        self._run(options, condition, ids, lengths, seeds, samples, tuple(made.values()))
        return made

    def _run(
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
        condition = condition.detach().float().contiguous()
        ids, seeds = ids.contiguous(), seeds.contiguous()
        lengths, samples = (None if t is None else t.to(torch.int64).contiguous() for t in (lengths, samples))
        with stream_of(condition) as stream:
            self.plan(*ids.shape, options, results[-1] is not None).launch(
                *map(address, (condition, ids, lengths, seeds, samples)),
                sampling["guidance_scale"],
                sampling["temperature"],
                sampling["top_k"],
                *map(address, results),
                stream,
            )
