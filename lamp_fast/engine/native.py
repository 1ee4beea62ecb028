"""When the native core takes the place of the models, and on a CPU it does: the same function, without PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import native_cuda
from ..backend import Backend, asked_backend, available, triton_is_interpreted
from ..errors import call_native
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from .layers import Precision
from .native_file import native_bytes

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


def why_not_native(lamp: Lamp, precision: Precision) -> str | None:
    """Why the engine of this model runs on PyTorch here, or None where it runs on the native core.

    On a GPU it does so where backend native is asked for, on a CPU unless another one is.
    """
    on_gpu, asked = lamp.device.type == "cuda", asked_backend()
    if not on_gpu and lamp.device.type != "cpu":
        return f"the model lies on {lamp.device}"
    if asked not in (None, Backend.NATIVE):
        return f"backend {asked} is asked for"
    if asked is None and on_gpu:
        return "on a GPU it has to be asked for: LAMP_FAST_BACKEND=native"
    if asked is None and triton_is_interpreted():
        return "Triton's interpreter is on (TRITON_INTERPRET=1)"
    if not available()[Backend.NATIVE].works:
        return available()[Backend.NATIVE].reason
    if on_gpu and native_cuda.why_not() is not None:
        return native_cuda.why_not()
    if precision.dtype not in _PRECISIONS or precision.weights not in ((None,) if on_gpu else (None, "int8")):
        where = " on a GPU" if on_gpu else ""
        return f"the native core does not compute in {precision.weights or precision.dtype}{where}"
    if "released" in (lamp.config.language_motion.padding, lamp.config.generator.padding):
        return 'the native core has no padding "released": nothing of it attends to pads'
    return None


class NativeModels:
    """Text side, generator and decoder of `lamp`, packed for this machine; as many threads as PyTorch has.

    int8 weights are multiplied with int8 activations. A motion of a batch is made by one thread, a single one by all;
    neither changes a bit of it.
    """

    def __init__(self, lamp: Lamp, precision: Precision):
        from .. import _native

        self._num_codes = lamp.config.generator.num_codes
        numbers = "int8" if precision.weights == "int8" else _PRECISIONS[precision.dtype]
        self._model = _native.Model(native_bytes(lamp), numbers, torch.get_num_threads())

    @property
    def nbytes(self) -> int:
        return self._model.bytes

    @property
    def isa(self) -> str:
        """The instruction set that the kernels use."""
        return self._model.isa

    def condition(self, input_ids: Tensor, text_lengths: Tensor) -> Tensor:
        """Word ids (B,L) int64, of which text_lengths (B,) are words -> condition (B,D) float32."""
        return torch.from_numpy(call_native(self._model.condition, input_ids, text_lengths))

    def draw(
        self, options: DecodingOptions, condition: Tensor, ids: Tensor, lengths: Tensor, seeds: Tensor, samples: Tensor
    ) -> Tensor:
        """As `decoding.draw_masked`: condition (B,D), ids (B,N) int64 -> ids (B,N)."""
        return self._generate(options, condition, ids, lengths, seeds, samples, False)["tokens"]

    def make(
        self, options: DecodingOptions, condition: Tensor, ids: Tensor, lengths: Tensor, seeds: Tensor, samples: Tensor
    ) -> dict[str, Tensor]:
        """As `draw`, and the features (B,4N,F) and joints (B,4N,J,3) of the tokens."""
        return self._generate(options, condition, ids, lengths, seeds, samples, True)

    def decode(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B,N) int64, lengths (B,) -> features (B,4N,F) in the data set's units, joints (B,4N,J,3)."""
        features, joints = call_native(self._model.decode, tokens, lengths)
        return torch.from_numpy(features), torch.from_numpy(joints)

    def _generate(
        self,
        options: DecodingOptions,
        condition: Tensor,
        ids: Tensor,
        lengths: Tensor,
        seeds: Tensor,
        samples: Tensor,
        decodes: bool,
    ) -> dict[str, Tensor]:
        sampling = options.sampling(self._num_codes)
        made = call_native(
            self._model.generate,
            condition.detach().float(),
            ids,
            lengths,
            seeds,
            samples,
            options.num_inference_steps,
            sampling["guidance_scale"],
            sampling["temperature"],
            sampling["top_k"],
            decodes,
        )
        names = ("tokens", "features", "joints")
        return {name: torch.from_numpy(value) for name, value in zip(names, made) if value is not None}
