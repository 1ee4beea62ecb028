"""rows of benchmarks/rows.py: arguments that fit the operator's reference and its launcher."""

import inspect

import pytest
import torch


@pytest.fixture(scope="module")
def bench(benchmark_script):
    return benchmark_script("bench_ops")


def test_arguments_fit(bench):
    """The smallest row of each operator and dtype runs; every launcher takes what its reference takes."""
    smallest = {}
    for row in bench.rows():
        smallest.setdefault((row.op, row.dtype), row)
    assert len(smallest) >= 4
    for row in smallest.values():
        arguments = row.arguments(bench.Draw(torch.device("cpu"), row.dtype))
        with torch.no_grad():
            result = bench._function(row, "ref")(*arguments)
        row.compare(result, result, arguments, row.dtype)


def test_launchers_take_what_references_take(bench):
    """In the same order; a launcher may lack the last (dropout) and have more (out)."""
    pytest.importorskip("triton")
    for row in bench.rows():
        reference, launcher = (
            list(inspect.signature(bench._function(row, kind)).parameters) for kind in ("ref", "triton")
        )
        shared = [name for name in reference if name in launcher]
        assert launcher[: len(shared)] == shared, row.op


def test_what_is_wrong_is_found_out(benchmark_script):
    agree = benchmark_script("agree")
    expected = torch.randn(5, 7, dtype=torch.float64)
    agree.close(expected, expected.float(), (), torch.float32)
    for wrong in (expected * 1.1, expected[:4], expected * float("nan")):
        with pytest.raises(AssertionError):
            agree.close(expected, wrong.float(), (), torch.float32)
    with pytest.raises(AssertionError):
        agree.close(torch.arange(3), torch.arange(3) + 1, (), torch.bfloat16)

    x, codebook = torch.randn(6, 8), torch.randn(5, 8)
    codes = torch.cdist(x.double(), codebook.double()).argmin(1)
    agree.nearest(codes, codes, (x, codebook, "ieee"), torch.float32)
    with pytest.raises(AssertionError, match="farther"):
        agree.nearest(codes, (codes + 1) % 5, (x, codebook, "ieee"), torch.float32)
    twice = torch.cat([codebook, codebook])
    assert agree.nearest(codes, codes + 5, (x, twice, "ieee"), torch.float32) == {"other_codes": 1.0}
