"""Tensors of one model in one safetensors file, as float32, float16 or int8."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import LampError
from ..files import new_file
from ..kernels.quantize_rows import quantize_rows_ref

Storage = Literal["fp32", "fp16", "int8"]
STORAGES: tuple[Storage, ...] = ("fp32", "fp16", "int8")
SCALE = ".scale"
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")  # a bare pickle; a zip as torch.save writes it
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".tar", ".ckpt")


def write_weights(file: str | os.PathLike, model: nn.Module, storage: Storage = "fp32") -> None:
    """Write the parameters and persistent buffers of `model`.

    "fp16" halves every parameter. "int8" stores matrices and convolutions (2 or more dims, named "...weight") as int8
    with one float32 scale for each output channel, beside them under the name with ".scale" added; other parameters as
    fp16. Buffers stay as they are.

    Raises:
        LampError: an unknown storage, weights that are not finite, a file that cannot be written.
    """
    if storage not in STORAGES:
        raise LampError(f"storage is {storage!r}, expected one of {', '.join(STORAGES)}")
    parameters = {name for name, _ in model.named_parameters()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        _check_finite(f"the model to be saved as {file}", name, tensor)
        if storage == "int8" and name in parameters and name.endswith("weight") and tensor.ndim >= 2:
            tensors[name], tensors[name + SCALE] = quantize_int8(tensor)
        elif storage != "fp32" and name in parameters:
            tensors[name] = tensor.half()
        else:
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    with new_file(file) as partial:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)


def read_weights(file: str | os.PathLike, model: nn.Module) -> None:
    """Fill `model` in place from what `write_weights` wrote; nothing is changed unless every tensor fits.

    Raises:
        LampError: no such file, a pickle, a damaged or cut file, a tensor that is missing, left over, of another shape
            or dtype, or not finite. The sentence names the file and the tensor.
    """
    file = Path(file)
    stored = read_tensors(file)
    expected = model.state_dict()
    scales = {name + SCALE for name in expected if name in stored and stored[name].dtype == torch.int8}
    missing = sorted((expected.keys() | scales) - stored.keys())
    extra = sorted(stored.keys() - expected.keys() - scales)
    if missing:
        raise LampError(f"{file} lacks the tensor {_first(missing)}; save the model again or get the whole file")
    if extra:
        raise LampError(f"{file} holds the tensor {_first(extra)}, which this model does not have; check config.json")
    loaded = {}
    for name, target in expected.items():
        tensor = stored[name]
        if tensor.shape != target.shape:
            raise LampError(
                f"{file}: the tensor {name} has shape {tuple(tensor.shape)}, expected {tuple(target.shape)}; "
                "check that config.json belongs to it"
            )
        if tensor.dtype == torch.int8 and target.is_floating_point():
            tensor = dequantize_int8(tensor, _checked_scale(file, name, stored))
        if tensor.is_floating_point() != target.is_floating_point():
            raise LampError(f"{file}: the tensor {name} is {tensor.dtype}, expected {target.dtype}; save it again")
        _check_finite(file, name, tensor)
        loaded[name] = tensor
    model.load_state_dict(loaded)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU. Raises `LampError` for anything else, above all for a pickle."""
    if not file.is_file():
        pickles = sorted(p.name for p in file.parent.glob("*") if p.suffix in PICKLE_SUFFIXES)
        hint = f"; {pickles[0]} is a pickle, which is never opened: convert it" if pickles else ""
        raise LampError(f"there is no file {file}; give the whole model folder{hint}")
    with file.open("rb") as stream:
        start = stream.read(9)  # a safetensors file: 8 bytes of length, then JSON
    if start[8:] != b"{" and start.startswith(PICKLE_STARTS):
        raise LampError(f"{file} is a pickle, which may run code and is never opened; convert it to safetensors")
    try:
        with safe_open(file, "pt") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise LampError(f"{file} is damaged or cut short ({error}); copy or download it again") from error


def quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight (O, ...) float -> int8 of the same shape, and scale (O,) float32 with weight ~ int8 * scale."""
    values, scale = quantize_rows_ref(weight.flatten(1))
    return values.view(weight.shape), scale


def dequantize_int8(weight: Tensor, scale: Tensor) -> Tensor:
    """int8 (O, ...) and scale (O,) -> float32 (O, ...)."""
    return weight.float() * scale.float().view(-1, *[1] * (weight.ndim - 1))


def _checked_scale(file: Path, name: str, stored: dict[str, Tensor]) -> Tensor:
    scale, channels = stored[name + SCALE], stored[name].shape[:1]
    if scale.shape != channels:
        raise LampError(f"{file}: the tensor {name + SCALE} has shape {tuple(scale.shape)}, expected {tuple(channels)}")
    return scale


def _check_finite(where: object, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise LampError(f"{where}: the tensor {name} holds NaN or infinite values; train or download it again")


def _first(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
