"""When kernels are launched the dependent way: inside the block, and never for tensors of the CPU."""

import torch

from lamp_fast.kernels.dependent_launch import dependent_launches, is_dependent


def test_only_inside_the_block():
    x = torch.empty(1, device="meta")  # stands in for a device that has it
    assert not is_dependent(x)
    with dependent_launches():
        assert is_dependent(x) and not is_dependent(torch.empty(1))
    assert not is_dependent(x)
