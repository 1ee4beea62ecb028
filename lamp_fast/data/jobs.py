"""Many files at once: a pool of processes, a progress bar, results as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

from ..errors import LampError

FEW = 8
"""So few jobs are done before other processes have started."""
Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None, label: str
) -> Iterator[Result]:
    """The results of `function(job)`, in the order in which they are ready.

    function: can be pickled; what it raises ends the run. workers: processes, None for one a core; 1 computes here.
    label: of the progress bar. Raises `LampError` where a process dies.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    with tqdm(total=len(jobs), desc=label, disable=None, smoothing=0.05) as bar:
        if workers <= 1 or len(jobs) <= FEW:
            for job in jobs:
                yield function(job)
                bar.update()
            return
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
        try:
            for future in as_completed([pool.submit(function, job) for job in jobs]):
                yield future.result()
                bar.update()
        except BrokenProcessPool as error:
            raise LampError(
                "a process of the pool died, perhaps for want of memory; run the same line again with fewer --workers: "
                "what is finished is kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
