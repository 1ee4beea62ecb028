"""The native core's part for GPUs, where there is none: it loads, says why it cannot work, and nothing else changes."""

from types import SimpleNamespace

import pytest
import torch

from lamp_fast import native_cuda, ops
from lamp_fast.backend import Backend, use_backend
from lamp_fast.errors import LampError

native = pytest.importorskip("lamp_fast._native", reason="the C++ module is not built")
needs_cuda = pytest.mark.skipif(not hasattr(native, "cuda"), reason="the C++ module is built without CUDA")
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU; tests/gpu has more")
ON_A_GPU = SimpleNamespace(device=torch.device("cuda", 0))


@needs_cuda
@needs_no_gpu
def test_a_machine_without_a_gpu_is_told_so_in_a_sentence():
    assert native_cuda.why_not().startswith("There is no CUDA GPU") and native_cuda.why_not().endswith(".")
    with pytest.raises(RuntimeError, match="no CUDA GPU"):
        native.cuda.Generator(b"anything")


@needs_cuda
def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        native.cuda.Generator(b"", "float8")
    with pytest.raises(ValueError, match="x is NULL"):
        native.cuda.codebook_lookup(0, 1, 0, 1, 1, 0, 0, 0)
    with pytest.raises(ValueError, match="top_k 1 to 7"):
        native.cuda.decode_step(0, 0, "float32", 1, 1, 7, 1, 0, 0, 0, 0, 0, 0, 1.0, 1.0, 8, 0, 0, 0, 0)
    assert native.cuda.codebook_lookup_workspace(1_000_000, 512, 512) < 32_000_000


@needs_no_gpu
def test_the_engine_part_says_why_it_is_not_there():
    from lamp_fast.engine.native_cuda import CudaGenerator

    with pytest.raises(LampError, match="cannot run on a GPU here"):
        CudaGenerator(None)


@pytest.mark.parametrize("name", ["codebook_lookup", "decode_step"])
def test_tensors_on_a_gpu_go_to_the_native_core_where_it_can(monkeypatch, name):
    operator = getattr(ops, name)
    with use_backend("native"):
        monkeypatch.setattr(native_cuda, "why_not", lambda: None)
        choice = operator.choose(ON_A_GPU)
        assert choice.backend == Backend.NATIVE and choice.implementation is getattr(native_cuda, name)
        monkeypatch.setattr(native_cuda, "why_not", lambda: "it is Sunday")
        choice = operator.choose(ON_A_GPU)
        assert choice.backend == Backend.EAGER and choice.reason == "it is Sunday"
        assert "does not reach" in ops.philox_uniform.choose(ON_A_GPU).reason
