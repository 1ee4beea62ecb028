"""When kernels are launched the dependent way: as asked, or as the block says, and never for tensors of the CPU."""

import torch

from lamp_fast.kernels.dependent_launch import dependent_launches, is_dependent


def test_what_is_asked_for_wins_over_the_block():
    x = torch.empty(1, device="meta")  # stands in for a device that has it
    assert not is_dependent(x, None) and is_dependent(x, True)
    with dependent_launches():
        assert is_dependent(x, None) and not is_dependent(x, False)
        assert not is_dependent(torch.empty(1), None)
    assert not is_dependent(x, None)
