"""Operators on each backend against backend eager: one motion of 49 tokens, sizes of lamp-mini and lamp-base."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import Case

from lamp_fast import ops
from lamp_fast.backend import Backend, available, use_backend
from lamp_fast.config import PRESETS, LampConfig

TOKENS = 49
# What a backend has of its own; the rest would be eager against eager.
COVERED = {
    Backend.TRITON: ("codebook_lookup", "philox_uniform", "decode_step", "sequence_attention"),
    Backend.NATIVE: ("codebook_lookup", "philox_uniform"),
}


def cases() -> Iterator[Case]:
    for backend, covered in COVERED.items():
        status = available()[backend]
        if not status.works:
            print(f"backend {backend} is left out: {status.reason}")
            continue
        device = torch.device("cuda" if backend is Backend.TRITON else "cpu")
        for preset, config in PRESETS.items():
            calls = _calls(config, device)
            for op in covered:
                yield _case(f"{op} {preset} {backend}", backend, calls[op])


def _calls(config: LampConfig, device: torch.device) -> dict[str, Callable[[], Any]]:
    size, heads = config.tokenizer, config.generator.num_heads
    torch.manual_seed(0)
    x, codebook = torch.randn(TOKENS, size.code_dim), torch.randn(size.num_codes, size.code_dim)
    logits, unconditional = torch.randn(2, 1, TOKENS, size.num_codes) * 3
    q, k, v = torch.randn(3, 2, heads, TOKENS, config.generator.width // heads)
    seeds, ids = torch.zeros(1, dtype=torch.int64), torch.full((1, TOKENS), size.num_codes)
    count, lengths = torch.full((1,), TOKENS // 2), torch.full((2,), TOKENS)
    x, codebook, logits, unconditional, q, k, v, seeds, ids, count, lengths = (
        tensor.to(device) for tensor in (x, codebook, logits, unconditional, q, k, v, seeds, ids, count, lengths)
    )
    drawing = {"seeds": seeds, "samples": seeds, "noise": None, "step": 0}
    drawing |= {"guidance_scale": 4.0, "temperature": 1.0, "top_k": size.num_codes // 10}
    return {
        "codebook_lookup": lambda: ops.codebook_lookup(x, codebook),
        "philox_uniform": lambda: ops.philox_uniform(seeds, seeds, 0, TOKENS, size.num_codes),
        "decode_step": lambda: ops.decode_step(logits, unconditional, ids, count, **drawing),
        "sequence_attention": lambda: ops.sequence_attention(q, k, v, lengths, config.generator.attention_mode),
    }


def _case(name: str, backend: Backend, call: Callable[[], Any]) -> Case:
    def on(name: str) -> Callable[[], Any]:
        def run() -> Any:
            with torch.no_grad(), use_backend(name):
                return call()

        return run

    def same(expected: Any, got: Any) -> None:
        """Integers are equal; float32 sums may be taken in another order."""
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)

    return Case(name, on("eager"), on(backend), same)
