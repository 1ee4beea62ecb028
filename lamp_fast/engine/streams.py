"""Buffers that several threads and streams share."""

from __future__ import annotations

from threading import Lock

import torch


class InTurn:
    """Who enters the block works on a buffer after all who entered before, on whichever streams; the host never waits
    for the device."""

    def __init__(self, device: torch.device):
        self._lock = Lock()
        self._left = torch.cuda.Event() if device.type == "cuda" else None
        self._device = device

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._left is not None:
            torch.cuda.current_stream(self._device).wait_event(self._left)

    def __exit__(self, *_) -> None:
        if self._left is not None:
            self._left.record(torch.cuda.current_stream(self._device))
        self._lock.release()
