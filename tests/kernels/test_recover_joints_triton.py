"""Features and joints against the reference in float64."""

import pytest
import torch

from lamp_fast.kernels.recover_joints import recover_joints_ref

recover_joints_triton = pytest.importorskip("lamp_fast.kernels.recover_joints_triton").recover_joints_triton


def arguments(batch, frames, joints, dtype=torch.float32):
    torch.manual_seed(frames)
    width = 12 * joints - 1
    # The character turns a twentieth of a turn a frame, one way and then the other.
    mean = torch.randn(width) * 0.1
    mean[0] = 0.15 if frames % 2 else -0.15
    return torch.randn(batch, frames, width).to(dtype), mean, torch.rand(width) * 0.1 + 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("batch, frames, joints", [(1, 1, 2), (2, 7, 3), (1, 196, 4), (2, 252, 2)])
def test_joints(device, batch, frames, joints, dtype):
    values = arguments(batch, frames, joints, dtype)
    lengths = torch.randint(1, frames + 1, (batch,))
    lengths[0] = frames
    for some in (lengths, None):
        expected = recover_joints_ref(*(value.double() for value in values), some)
        out = tuple(torch.full(e.shape, float("nan"), device=device) for e in expected)
        on_device = None if some is None else some.to(device)
        got = recover_joints_triton(*(value.to(device) for value in values), on_device, out=out)
        for ours, theirs in zip(got, expected, strict=True):
            # float32: the path is a sum of as many steps as there are frames, of up to a tenth of a metre each.
            torch.testing.assert_close(ours.cpu().double(), theirs, atol=1e-4, rtol=1e-5)


def test_what_lies_beyond_the_length_is_not_read(device):
    normal, mean, std = (value.to(device) for value in arguments(2, 9, 3))
    lengths = torch.tensor([9, 4], device=device)
    clean = recover_joints_triton(normal, mean, std, lengths)
    normal[1, 4:] = float("nan")
    for poisoned, expected in zip(recover_joints_triton(normal, mean, std, lengths), clean, strict=True):
        assert torch.equal(poisoned, expected) and (poisoned[1, 4:] == 0).all()


def test_strides_and_empty(device):
    normal, mean, std = (value.to(device) for value in arguments(2, 5, 2))
    strided = normal.transpose(0, 1).contiguous().transpose(0, 1)
    for ours, theirs in zip(
        recover_joints_triton(strided, mean, std, None), recover_joints_triton(normal, mean, std, None)
    ):
        assert torch.equal(ours, theirs)
    features, joints = recover_joints_triton(normal[:0], mean, std, None)
    assert features.shape == (0, 5, 23) and joints.shape == (0, 5, 2, 3)
