"""Operators on each backend against backend eager: one motion of 49 tokens, sizes of lamp-mini and lamp-base."""

from collections.abc import Callable, Iterator

import torch
from measure import Case

from lamp_fast import ops
from lamp_fast.backend import Backend, available, use_backend
from lamp_fast.config import PRESETS

TOKENS = 49


def cases() -> Iterator[Case]:
    for backend in (Backend.TRITON, Backend.NATIVE):
        status = available()[backend]
        if not status.works:
            print(f"backend {backend} is left out: {status.reason}")
            continue
        device = "cuda" if backend is Backend.TRITON else "cpu"
        for name, config in PRESETS.items():
            size = config.tokenizer
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(TOKENS, size.code_dim, generator=generator).to(device)
            codebook = torch.randn(size.num_codes, size.code_dim, generator=generator).to(device)
            yield _case("codebook_lookup", name, backend, lambda x=x, c=codebook: ops.codebook_lookup(x, c))
            seeds, samples = torch.zeros(1, dtype=torch.int64, device=device), torch.arange(1, device=device)
            yield _case(
                "philox_uniform",
                name,
                backend,
                lambda s=seeds, n=samples, k=size.num_codes: ops.philox_uniform(s, n, 0, TOKENS, k),
            )


def _case(op: str, preset: str, backend: Backend, call: Callable[[], torch.Tensor]) -> Case:
    def on(name: str) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            with use_backend(name):
                return call()

        return run

    def same(expected: torch.Tensor, got: torch.Tensor) -> None:
        assert torch.equal(expected, got), f"{op} differs on {backend}"

    return Case(f"{op} {preset} {backend}", on("eager"), on(backend), same)
