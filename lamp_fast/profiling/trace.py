"""Where the time of one call goes: a trace to look at, and the operators with their work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ..ranges import recorded
from .clock import finish


@dataclass
class OperatorWork:
    """Sums over the calls of one operator: bytes of its arguments and results, time with all that it calls."""

    calls: int = 0
    flops: float = 0.0
    bytes: float = 0.0
    ms: float = 0.0


def write_trace(call: Callable[[], Any], device: torch.device, path: Path) -> dict[str, OperatorWork]:
    """Trace one call, in the format of Chrome and Perfetto; -> its operators and, on a GPU, kernels, slowest first.

    Arithmetic is counted for products, convolutions and attention of PyTorch; a kernel of our own has time only.
    """
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * (device.type == "cuda")]
    with profile(activities=activities) as profiled, recorded():
        call()
        finish(device)
    profiled.export_chrome_trace(str(path))
    with _Counter() as counter:
        call()
    operators = counter.operators
    for event in profiled.key_averages():
        if event.key in operators:
            on_gpu = device.type == "cuda"
            operators[event.key].ms = (event.device_time_total if on_gpu else event.cpu_time_total) / 1e3
        elif event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation:
            operators[event.key] = OperatorWork(event.count, ms=event.self_device_time_total / 1e3)
    return dict(sorted(operators.items(), key=lambda item: -item[1].ms))


class _Counter(TorchDispatchMode):
    """Counts what reaches the dispatcher: views of a tensor move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: dict[str, OperatorWork] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func._overloadpacket not in flop_registry:
            with self:  # in inference mode also operators arrive that are made of others
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        given, made = list(_tensors((args, kwargs))), list(_tensors(result))
        sources = {tensor.untyped_storage().data_ptr() for tensor in given}
        if not func._schema.is_mutable and any(tensor.untyped_storage().data_ptr() in sources for tensor in made):
            return result
        work = self.operators.setdefault(func._schema.name, OperatorWork())
        work.calls += 1
        work.bytes += sum(tensor.numel() * tensor.element_size() for tensor in [*given, *made])
        if func._overloadpacket in flop_registry:
            work.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=result)
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value)
