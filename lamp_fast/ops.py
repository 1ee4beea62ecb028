"""The operators: what they take, what they give, which implementation runs.

Nothing else registers with torch. An eager call goes straight to the implementation; inside `torch.compile` an
operator is one opaque call `torch.ops.lamp_fast.<name>`, but for those that training differentiates: there the compiler
sees the reference.

The rule of `Operator.choose`: the backend in force (`lamp_fast.backend`), if it has the operator, reaches the device of
its tensors and covers the call; otherwise the PyTorch reference.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import native_cuda
from .backend import Backend, current_backend, triton_is_interpreted
from .errors import LampError, call_native
from .kernels.codebook_lookup import PRECISIONS, codebook_lookup_ref
from .kernels.codebook_sums import codebook_sums_ref
from .kernels.conv1d import conv1d_ref
from .kernels.conv_residual import conv_residual_ref
from .kernels.decode_step import decode_step_ref
from .kernels.embed_tokens import embed_tokens_ref
from .kernels.int8_linear import int8_linear_ref
from .kernels.linear_residual import linear_residual_ref
from .kernels.masked_rows import masked_rows_ref
from .kernels.norm_linear import norm_linear_ref
from .kernels.philox import philox_uniform_ref
from .kernels.qkv_attention import qkv_attention_ref
from .kernels.quantize_rows import quantize_rows_ref
from .kernels.recover_joints import recover_joints_ref
from .kernels.residual_codebook_lookup import residual_codebook_lookup_ref
from .kernels.sequence_attention import sequence_attention_ref
from .kernels.upsample_conv import upsample_conv_ref

logger = logging.getLogger(__name__)

ATTENTION_MODES = ("full", "soft_causal", "causal")
ACTIVATIONS = ("none", "gelu")


class Choice(NamedTuple):
    """What runs a call, and why."""

    backend: Backend
    reason: str
    implementation: Callable[..., Any]


class Operator:
    """An operator, called as its reference in `kernels/` is; the first argument is a tensor, whose device decides.

    reference: `<name>_ref`, also the shapes of its results in a compiled graph.
    triton: whether `<name>_triton` stands in the file beside the reference, whose name ends in `_triton`.
    native: the implementation for tensors of the CPU on backend native; native_cuda: for tensors of a GPU. Both get all
        arguments by position, in the reference's order.
    check: raises LampError for arguments that do not fit.
    uncovered: says in words why a call is beyond the kernel, or None.
    differentiable: whether models train through it; then gradients and compiled graphs take the reference.
    """

    def __init__(
        self,
        reference: Callable[..., Any],
        *,
        triton: bool = False,
        native: Callable[..., Any] | None = None,
        native_cuda: Callable[..., Any] | None = None,
        check: Callable[..., None] | None = None,
        uncovered: Callable[..., str | None] | None = None,
        differentiable: bool = False,
    ):
        self.__name__ = self.name = reference.__name__.removesuffix("_ref")
        self.__doc__, self.__signature__ = reference.__doc__, inspect.signature(reference)
        self.reference, self.native, self.native_cuda = reference, native, native_cuda
        self.has_triton, self.check, self.uncovered, self.differentiable = triton, check, uncovered, differentiable
        self._logged: set[Backend] = set()
        # The schema is read from the annotations of the reference.
        schema = torch.library.infer_schema(reference, mutates_args=())
        registered = torch.library.custom_op(f"lamp_fast::{self.name}", self._run, mutates_args=(), schema=schema)
        registered.register_fake(reference)

    def __call__(self, *args, **kwargs):
        if self.check is not None:
            self.check(*args, **kwargs)
        if not torch.compiler.is_compiling():
            return self._run(*args, **kwargs)
        if self.differentiable:
            return self.reference(*args, **kwargs)
        return getattr(torch.ops.lamp_fast, self.name)(*args, **kwargs)

    @cached_property
    def triton(self) -> Callable[..., Any]:
        """The launcher; importing it imports Triton."""
        return getattr(import_module(f"{self.reference.__module__}_triton"), f"{self.name}_triton")

    def choose(self, *args, **kwargs) -> Choice:
        """Which implementation these arguments get."""
        backend = current_backend()
        if backend is Backend.EAGER:
            return Choice(backend, "it is the backend in force", self.reference)
        reason = self._beyond(backend, *args, **kwargs)
        if reason is not None:
            return Choice(Backend.EAGER, reason, self.reference)
        if backend is Backend.TRITON:
            implementation = self.triton
        else:
            implementation = self.native_cuda if self._device(*args, **kwargs).type == "cuda" else self.native
        return Choice(backend, "it is the backend in force", implementation)

    @staticmethod
    def _device(*args, **kwargs) -> torch.device:
        return next(iter((*args, *kwargs.values()))).device

    def _beyond(self, backend: Backend, *args, **kwargs) -> str | None:
        """Why a backend other than eager cannot run this call."""
        values = (*args, *kwargs.values())
        if not (self.native if backend is Backend.NATIVE else self.has_triton):
            return f"backend {backend} does not have it"
        device = self._device(*args, **kwargs)
        if backend is Backend.NATIVE and device.type == "cuda" and self.native_cuda is not None:
            if native_cuda.why_not() is not None:
                return native_cuda.why_not()
        elif not (device.type == ("cpu" if backend is Backend.NATIVE or triton_is_interpreted() else "cuda")):
            return f"backend {backend} does not reach tensors on {device}"
        if torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in values):
            return "gradients are wanted"
        return self.uncovered(*args, **kwargs) if self.uncovered is not None else None

    def _run(self, *args, **kwargs):
        choice = self.choose(*args, **kwargs)
        if choice.backend not in self._logged:
            self._logged.add(choice.backend)
            logger.info("%s runs on %s: %s", self.name, choice.backend, choice.reason)
        if choice.backend is Backend.NATIVE:
            given = self.__signature__.bind(*args, **kwargs)
            given.apply_defaults()
            args, kwargs = given.args, {}
        return choice.implementation(*args, **kwargs)


def _check_codebook(x: Tensor, codebook: Tensor, precision: str = "ieee") -> None:
    if precision not in PRECISIONS:
        raise LampError(f"codebook_lookup: there is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1] or codebook.shape[0] == 0:
        raise LampError(
            f"codebook_lookup: x {tuple(x.shape)} and codebook {tuple(codebook.shape)} do not fit; "
            "give (M,D) and (K,D) with K at least 1"
        )


def _check_codes(x: Tensor, codes: Tensor, num_codes: int) -> None:
    if x.ndim != 2 or not x.is_floating_point() or codes.shape != x.shape[:1] or codes.dtype != torch.int64:
        raise LampError(
            f"codebook_sums: x {x.dtype} {tuple(x.shape)} and codes {codes.dtype} {tuple(codes.shape)} do not fit; "
            "give floating point (M,D) and int64 (M,)"
        )


def _check_codebooks(x: Tensor, codebooks: Tensor) -> None:
    fits = x.ndim == 2 and codebooks.ndim == 3 and x.shape[1] == codebooks.shape[2]
    if not fits or 0 in codebooks.shape[:2]:
        raise LampError(
            f"residual_codebook_lookup: x {tuple(x.shape)} and codebooks {tuple(codebooks.shape)} do not fit; "
            "give (M,D) and (L,K,D) with L and K at least 1"
        )


def _native_codebook_lookup(x: Tensor, codebook: Tensor, precision: str) -> Tensor:
    from . import _native

    arguments = x.detach().float(), codebook.detach().float(), torch.get_num_threads()
    return torch.from_numpy(call_native(_native.codebook_lookup, *arguments))


def _native_residual_codebook_lookup(x: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    from . import _native

    arguments = x.detach().float(), codebooks.detach().float(), torch.get_num_threads()
    codes, quantized = call_native(_native.residual_codebook_lookup, *arguments)
    return torch.from_numpy(codes), torch.from_numpy(quantized)


def _native_philox_uniform(seeds: Tensor, samples: Tensor, step: int, num_positions: int, num_codes: int) -> Tensor:
    from . import _native

    return torch.from_numpy(_native.philox_uniform(seeds, samples, step, num_positions, num_codes))


def _native_decode_step(*arguments) -> tuple[Tensor, Tensor]:
    from . import _native

    given = (a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments)
    ids, confidence = _native.decode_step(*given)
    return torch.from_numpy(ids), torch.from_numpy(confidence)


def _check_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor | None,
    mode: str,
    dropout: float = 0.0,
    padded_queries: bool = True,
) -> None:
    if mode not in ATTENTION_MODES:
        raise LampError(f"sequence_attention: there is no mode {mode!r}; choose one of {', '.join(ATTENTION_MODES)}")
    m, n = q.shape[2], k.shape[2]
    if m > n and mode != "full" or lengths is not None and padded_queries and m != n:
        raise LampError(
            f"sequence_attention: {m} queries do not fit {n} keys in mode {mode!r}"
            f"{' with padded queries' if padded_queries else ''}; give as many, or fewer with padded_queries=False"
        )


def _uncovered_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor | None,
    mode: str,
    dropout: float = 0.0,
    padded_queries: bool = True,
) -> str | None:
    return "it has no dropout" if dropout else _uncovered_dtype(q)


def _uncovered_dtype(x: Tensor, *args, **kwargs) -> str | None:
    if x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"it is for float32 and half precision, not {x.dtype}"
    return None


def _check_qkv_attention(
    x: Tensor,
    weight: Tensor,
    fold: Tensor | None,
    bias: Tensor,
    lengths: Tensor | None,
    mode: str,
    num_heads: int,
    eps: float,
) -> None:
    if mode not in ATTENTION_MODES:
        raise LampError(f"qkv_attention: there is no mode {mode!r}; choose one of {', '.join(ATTENTION_MODES)}")
    width = x.shape[-1]
    fits = x.ndim == 3 and weight.shape == (3 * width, width) and bias.shape == (3 * width,) and width % num_heads == 0
    if not fits or x.dtype != weight.dtype or fold is not None and fold.shape != bias.shape:
        raise LampError(
            f"qkv_attention: x {tuple(x.shape)} {x.dtype}, weight {tuple(weight.shape)} {weight.dtype}, bias "
            f"{tuple(bias.shape)} and {num_heads} heads do not fit; give (B,L,D), (3D,D) of one dtype, (3D,) and a "
            "number of heads that divides D"
        )


def _check_rows(x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] == 0 or not x.is_floating_point():
        raise LampError(f"quantize_rows: x is {x.dtype} {tuple(x.shape)}; give floating point (M,I) with I at least 1")


def _check_int8_linear(
    x: Tensor,
    x_scale: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype = torch.float32,
) -> None:
    if x.dtype != torch.int8 or weight.dtype != torch.int8:
        raise LampError(f"int8_linear: x is {x.dtype}, weight {weight.dtype}; give int8, as quantize_rows makes it")
    fits = x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[1]
    if not fits or x_scale.shape != x.shape[:1] or weight_scale.shape != weight.shape[:1]:
        raise LampError(
            f"int8_linear: x {tuple(x.shape)} with scale {tuple(x_scale.shape)} and weight {tuple(weight.shape)} with "
            f"scale {tuple(weight_scale.shape)} do not fit; give (M,I), (M,), (O,I) and (O,)"
        )
    if bias is not None and bias.shape != weight_scale.shape:
        raise LampError(f"int8_linear: bias is {tuple(bias.shape)}, expected {tuple(weight_scale.shape)}")


def _check_embedding(ids: Tensor, condition: Tensor, table: Tensor, positions: Tensor) -> None:
    batch, n = ids.shape
    fits = condition.shape[1:] == positions.shape[1:] == table.shape[1:] and len(condition) % max(1, batch) == 0
    if not fits or positions.shape[0] < n or not condition.dtype == table.dtype == positions.dtype:
        raise LampError(
            f"embed_tokens: ids {tuple(ids.shape)}, condition {tuple(condition.shape)} {condition.dtype}, table "
            f"{tuple(table.shape)} {table.dtype} and positions {tuple(positions.shape)} {positions.dtype} do not fit; "
            "give (B,N), (B,W) or a multiple of B, (K,W) and at least (N,W), the last three of one dtype"
        )


def _check_weight(op: str, x: Tensor, weight: Tensor, vectors: dict[str, Tensor | None], scale: Tensor | None) -> None:
    """vectors have one number for each output channel."""
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise LampError(f"{op}: x {tuple(x.shape)} and weight {tuple(weight.shape)} do not fit; give (M,I) and (O,I)")
    if weight.dtype != x.dtype if scale is None else weight.dtype not in (torch.int8, torch.float8_e4m3fn):
        raise LampError(
            f"{op}: weight is {weight.dtype} {'without' if scale is None else 'with'} weight_scale; give the {x.dtype} "
            "of x without, or int8 or float8_e4m3fn with it"
        )
    for name, vector in (vectors | {"weight_scale": scale}).items():
        if vector is not None and vector.shape != weight.shape[:1]:
            raise LampError(f"{op}: {name} is {tuple(vector.shape)}, expected {tuple(weight.shape[:1])}")


def _check_norm_linear(
    x: Tensor,
    weight: Tensor,
    fold: Tensor,
    bias: Tensor,
    activation: str,
    eps: float,
    weight_scale: Tensor | None = None,
) -> None:
    _check_weight("norm_linear", x, weight, {"fold": fold, "bias": bias}, weight_scale)
    if activation not in ACTIVATIONS:
        raise LampError(f"norm_linear: there is no activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}")


def _check_linear_residual(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor,
    stats: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    rows: Tensor | None = None,
    weight_scale: Tensor | None = None,
) -> None:
    _check_weight("linear_residual", x, weight, {"bias": bias, "scale": scale, "shift": shift}, weight_scale)
    if residual.shape != (x.shape[0], weight.shape[0]) or (stats is not None and stats.shape != (x.shape[0], 2)):
        raise LampError(
            f"linear_residual: residual {tuple(residual.shape)} or stats do not fit x {tuple(x.shape)} and weight "
            f"{tuple(weight.shape)}; give (M,O) and (M,2)"
        )
    if len({value is None for value in (stats, scale, shift)}) > 1:
        raise LampError("linear_residual: some of stats, scale and shift are missing; give all three or none")


def _uncovered_weight(x: Tensor, weight: Tensor, *args, **kwargs) -> str | None:
    if weight.dtype == torch.float8_e4m3fn and x.is_cuda and torch.cuda.get_device_capability(x.device) < (8, 9):
        return "this GPU has no float8 numbers"
    return "its sums are float32" if x.dtype == torch.float64 else None


def _check_rows_in_time(
    op: str, x: Tensor, expected: dict[str, tuple[Tensor | None, tuple[int, ...]]], lengths: Tensor | None
) -> None:
    """x (B,T,I) decides the dtype of every other tensor; each comes with the shape that it must have."""
    if x.ndim != 3:
        raise LampError(f"{op}: x is {tuple(x.shape)}; give (B,T,I)")
    for name, (tensor, shape) in expected.items():
        if tensor is not None and (tensor.shape != shape or tensor.dtype != x.dtype):
            raise LampError(f"{op}: {name} is {tensor.dtype} {tuple(tensor.shape)}, expected {x.dtype} {shape}")
    if lengths is not None and lengths.shape != x.shape[:1]:
        raise LampError(f"{op}: lengths is {tuple(lengths.shape)}, expected {tuple(x.shape[:1])}")


def _check_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    dilation: int = 1,
    relu_input: bool = False,
    relu_output: bool = False,
    residual: Tensor | None = None,
    lengths: Tensor | None = None,
) -> None:
    if weight.ndim != 3 or len(weight) % 2 == 0:
        raise LampError(f"conv1d: weight is {tuple(weight.shape)}; give (taps,O,I) with an odd number of taps")
    taps, width, _ = weight.shape
    expected = {"weight": (weight, (taps, width, x.shape[-1])), "bias": (bias, (width,))}
    _check_rows_in_time("conv1d", x, expected | {"residual": (residual, (*x.shape[:2], width))}, lengths)


def _check_conv_residual(
    x: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    dilation: int = 1,
    lengths: Tensor | None = None,
) -> None:
    width = x.shape[-1]
    expected = {
        "conv_weight": (conv_weight, (3, width, width)),
        "conv_bias": (conv_bias, (width,)),
        "out_weight": (out_weight, (width, width)),
        "out_bias": (out_bias, (width,)),
    }
    _check_rows_in_time("conv_residual", x, expected, lengths)


def _check_upsample_conv(x: Tensor, weight: Tensor, bias: Tensor, lengths: Tensor | None = None) -> None:
    expected = {"weight": (weight, (2, 2, len(bias), x.shape[-1])), "bias": (bias, (len(bias),))}
    _check_rows_in_time("upsample_conv", x, expected, lengths)


def _uncovered_in_time(x: Tensor, *args, **kwargs) -> str | None:
    return "its sums are float32" if x.dtype == torch.float64 else None


codebook_lookup = Operator(
    codebook_lookup_ref,
    triton=True,
    native=_native_codebook_lookup,
    native_cuda=native_cuda.codebook_lookup,
    check=_check_codebook,
)
codebook_sums = Operator(codebook_sums_ref, triton=True, check=_check_codes)
residual_codebook_lookup = Operator(
    residual_codebook_lookup_ref, triton=True, native=_native_residual_codebook_lookup, check=_check_codebooks
)
philox_uniform = Operator(philox_uniform_ref, triton=True, native=_native_philox_uniform)
decode_step = Operator(decode_step_ref, triton=True, native=_native_decode_step, native_cuda=native_cuda.decode_step)
masked_rows = Operator(masked_rows_ref, triton=True)
recover_joints = Operator(recover_joints_ref, triton=True)
sequence_attention = Operator(
    sequence_attention_ref, triton=True, check=_check_attention, uncovered=_uncovered_attention, differentiable=True
)
qkv_attention = Operator(qkv_attention_ref, triton=True, check=_check_qkv_attention, uncovered=_uncovered_dtype)
quantize_rows = Operator(quantize_rows_ref, triton=True, check=_check_rows)
int8_linear = Operator(int8_linear_ref, triton=True, check=_check_int8_linear)
embed_tokens = Operator(embed_tokens_ref, triton=True, check=_check_embedding)
norm_linear = Operator(norm_linear_ref, triton=True, check=_check_norm_linear, uncovered=_uncovered_weight)
linear_residual = Operator(linear_residual_ref, triton=True, check=_check_linear_residual, uncovered=_uncovered_weight)
conv1d = Operator(conv1d_ref, triton=True, check=_check_conv1d, uncovered=_uncovered_in_time)
conv_residual = Operator(conv_residual_ref, triton=True, check=_check_conv_residual, uncovered=_uncovered_in_time)
upsample_conv = Operator(upsample_conv_ref, triton=True, check=_check_upsample_conv, uncovered=_uncovered_in_time)

OPERATORS = {operator.name: operator for operator in list(globals().values()) if isinstance(operator, Operator)}
