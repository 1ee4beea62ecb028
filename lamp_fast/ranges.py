"""Named ranges of a run, as profilers show them. Off, a range is one test and nothing more.

`LAMP_FAST_NVTX=1` makes them NVTX ranges, for Nsight Systems; `recorded` shows them in a trace of torch's profiler.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_OFF = nullcontext()
_make: Callable[[str], AbstractContextManager] | None = None

if os.environ.get("LAMP_FAST_NVTX") == "1":
    import nvtx

    def _make(name: str) -> AbstractContextManager:
        return nvtx.annotate(name, domain="lamp_fast")


def named(name: str) -> AbstractContextManager:
    """`with named("tokens"): ...`: the block is a range of that name for whichever profiler looks on."""
    return _OFF if _make is None else _make(name)


@contextmanager
def recorded() -> Iterator[None]:
    """Inside the block ranges go to torch's profiler."""
    from torch.profiler import record_function

    global _make
    before, _make = _make, record_function
    try:
        yield
    finally:
        _make = before
