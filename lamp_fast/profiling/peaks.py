"""What a device can do at best, and the least time that some work takes on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

DTYPES = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.float8_e4m3fn: "fp8",
}


@dataclass(frozen=True)
class Peaks:
    """flops: operations a second by the kind of number (fp32, tf32, fp16, bf16, fp8, int8); bytes: memory, a second."""

    flops: dict[str, float]
    bytes: float
    source: str

    def floor_ms(self, flops: float, bytes: float, numbers: str) -> float:
        """The longer of the time for the arithmetic and the time for the memory, in milliseconds."""
        return 1e3 * max(flops / self.flops[numbers], bytes / self.bytes)


def _tensor_cores(fp32: float, tf32: float, half: float, eight_bit: float | None) -> dict[str, float]:
    """Dense rates in TFLOP/s -> by kind of number; without fp8 (None) its weights are multiplied in half precision."""
    fast = half if eight_bit is None else eight_bit
    teras = {"fp32": fp32, "tf32": tf32, "fp16": half, "bf16": half, "fp8": fast, "int8": 2 * half}
    return {name: value * 1e12 for name, value in teras.items()}


# Dense rates (data sheets print those with sparsity, twice as high), at the name that torch gives the device.
KNOWN = {
    "NVIDIA H100 80GB HBM3": Peaks(_tensor_cores(67, 494.7, 989.4, 1978.9), 3.35e12, "NVIDIA H100 data sheet, SXM"),
    "NVIDIA H200": Peaks(_tensor_cores(67, 494.7, 989.4, 1978.9), 4.8e12, "NVIDIA H200 data sheet, SXM"),
    "NVIDIA A100-SXM4-80GB": Peaks(_tensor_cores(19.5, 156, 312, None), 2.039e12, "NVIDIA A100 data sheet, SXM 80GB"),
}


@cache
def device_peaks(device: torch.device) -> Peaks:
    """From the table where the device is in it, else measured here in a moment."""
    if device.type == "cuda" and torch.cuda.get_device_name(device) in KNOWN:
        return KNOWN[torch.cuda.get_device_name(device)]
    return _probe(device)


def _probe(device: torch.device) -> Peaks:
    """The best of some matrix products and copies. Numbers without a product of their own count as fp32."""
    on_gpu = device.type == "cuda"
    size = 4096 if on_gpu else 512
    flops = {}
    for dtype in (torch.float32, torch.bfloat16, *[torch.float16] * on_gpu):
        a, b = torch.randn(2, size, size, device=device).to(dtype)
        flops[DTYPES[dtype]] = 2 * size**3 / _best_seconds(lambda a=a, b=b: a @ b, device)
    for name in ("tf32", "fp16", "bf16", "fp8", "int8"):
        flops.setdefault(name, flops["fp32"])
    source = torch.empty(2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = _best_seconds(lambda: target.copy_(source), device)
    return Peaks(flops, 2 * source.numel() / seconds, "measured: best matrix product and copy")


def _best_seconds(call: Callable[[], object], device: torch.device, calls: int = 7) -> float:
    best = float("inf")
    for _ in range(calls):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best
