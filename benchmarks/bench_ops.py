"""Operators, each backend against eager: the rows of rows.py.

A row names the operator; its reference and its launcher are found by the convention of `kernels/`: `<op>_ref` in
`<op>.py`, `<op>_triton` in `<op>_triton.py`, the same arguments for both. Results are held against the reference on
the same numbers in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from agree import tensors_of
from measure import Case, NotHere, Plan
from rows import Draw, Row, rows
from torch import Tensor

from lamp_fast import native_cuda, ops
from lamp_fast.backend import Backend, available, triton_is_interpreted, use_backend
from lamp_fast.profiling.peaks import DTYPES

CPU_FLOPS = 1e9  # a row of more work is left to a GPU
INTERPRETED_NUMBERS = 1_200_000
NATIVE = ("codebook_lookup", "philox_uniform")


def cases() -> Iterator[Plan]:
    for row in rows():
        rank = 3 if "b1 " in row.size else 4
        yield Plan(f"{row.op} {DTYPES[row.dtype]} {row.size}", lambda row=row: _case(row), rank)


def _case(row: Row) -> Case:
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    others = {backend: _way(row, backend) for backend in _other_backends(row, gpu)}
    if not others:
        raise NotHere("no backend but eager is here")
    if not gpu and row.flops > CPU_FLOPS:
        raise NotHere("too much work for a CPU")
    arguments = row.arguments(Draw(device, row.dtype))
    if triton_is_interpreted() and sum(tensor.numel() for tensor in tensors_of(arguments)) > INTERPRETED_NUMBERS:
        raise NotHere("too much work for the interpreter")
    reference = _function(row, "ref")
    with torch.no_grad():
        result = reference(*arguments)

    def truth() -> Any:
        return reference(*(_as_double(argument) for argument in arguments))

    def bound(way: Callable) -> Callable[[], Any]:
        def run() -> Any:
            with torch.no_grad():
                return way(*arguments)

        return run

    return Case(
        ways={"eager": bound(reference)} | {backend: bound(way) for backend, way in others.items()},
        compare=lambda expected, got: row.compare(expected, got, arguments, row.dtype),
        truth=truth,
        device=device,
        flops=row.flops,
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in [*tensors_of(arguments), *tensors_of(result)]),
        numbers=row.numbers or DTYPES[row.dtype],
        captures=True,
        share=0.3,
    )


def _other_backends(row: Row, gpu: bool) -> list[str]:
    if gpu or triton_is_interpreted():
        triton = ["triton"] if find_spec(f"lamp_fast.kernels.{row.file or row.op}_triton") else []
        native = gpu and getattr(ops, row.op).native_cuda is not None and native_cuda.why_not() is None
        return triton + ["native"] * native
    return ["native"] if row.op in NATIVE and available()[Backend.NATIVE].works else []


def _way(row: Row, backend: str) -> Callable:
    if backend == "triton":
        return _function(row, "triton")

    def run(*arguments: Any) -> Any:
        with use_backend(backend):
            return getattr(ops, row.op)(*arguments)

    return run


def _function(row: Row, kind: str) -> Callable:
    file = (row.file or row.op) + ("_triton" if kind == "triton" else "")
    return getattr(import_module(f"lamp_fast.kernels.{file}"), f"{row.op}_{kind}")


def _as_double(argument: Any) -> Any:
    return argument.double() if isinstance(argument, Tensor) and argument.dtype.is_floating_point else argument
