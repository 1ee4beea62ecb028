"""benchmarks/sweep.py: what it launches is what it names, and the best threshold is found."""

from functools import partial

import pytest
import torch

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def sweep(benchmark_script):
    return benchmark_script("sweep")


def launches(sweep, monkeypatch, name):
    """Of a threshold each choice at each size, the kernels it would launch and the options of the last."""
    from triton.runtime.jit import JITFunction

    class Shapes(sweep.Draw):
        def __init__(self):
            self.device, self.dtype = torch.device("meta"), torch.bfloat16

        def __call__(self, *shape, scale=1.0, dtype=None):
            return torch.empty(shape, dtype=dtype or self.dtype, device="meta")

    caught = []
    monkeypatch.setattr(JITFunction, "run", lambda kernel, *args, **options: caught.append((kernel.__name__, options)))
    [threshold] = [threshold for threshold in sweep.thresholds() if name in threshold.name]
    for size in threshold.sizes(Shapes()):
        for choice, call in size.calls.items():
            caught.clear()
            call()
            yield choice, [kernel for kernel, _ in caught], caught[-1][1]


@pytest.mark.parametrize("name, tile", [("linear", ("BLOCK_O", "BLOCK_M")), ("conv1d", ("BLOCK_M", "BLOCK_O"))])
def test_tiles(sweep, monkeypatch, name, tile):
    for choice, _, options in launches(sweep, monkeypatch, name):
        assert choice == "x".join(str(options[part]) for part in tile)


@pytest.mark.parametrize("name", ["qkv", "width 192"])
def test_one_kernel_or_two(sweep, monkeypatch, name):
    for choice, kernels, _ in launches(sweep, monkeypatch, name):
        assert (len(kernels) == 1) is (choice == "fused"), kernels


def test_the_best_value_is_found(sweep, monkeypatch, capsys):
    """Made-up times: the large tile is best from 100 programs on."""

    def sizes(new):
        for programs in (10, 40, 90, 110, 400):
            yield sweep.Size(f"{programs}", {"large": partial(int, programs), "small": None}, (programs, 4 * programs))

    def timed(calls):
        return {"large": 1.0 if calls["large"]() >= 100 else 3.0, "small": 2.0}

    monkeypatch.setattr(sweep, "timed", timed)
    record = sweep.swept(sweep.Threshold("made up", 32, (8, 96, 200), sizes), None)
    assert record["best"] == 96 and record["costs"]["96"] == 0 and record["costs"]["32"] > 0
    assert record["ms"]["110"] == {"large": 1.0, "small": 2.0} and "best of all 96" in capsys.readouterr().out
