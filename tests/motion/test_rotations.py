"""Rotation functions against the released code's numbers, and against what rotations must satisfy."""

import pytest
import torch

from lamp_fast.motion import rotations as rot


def random_quaternions(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return rot.qnormalize(torch.randn(*shape, 4, generator=generator, dtype=torch.float64))


def angle_between(q, r):
    return 2 * (q * r).sum(-1).abs().clamp(max=1).acos()


def test_quaternion_algebra_matches_released_code(golden):
    data = golden("skeleton")
    q, r, v = data["q"], data["r"], data["v"]
    data.check("qmul", rot.qmul(q, r))
    data.check("qrot", rot.qrot(q, v))
    data.check("qinv", rot.qinv(q))
    data.check("qnormalize", rot.qnormalize(q * 1.7))
    data.check("qfix", rot.qcontinuous(data["qseq"]))
    data.check("qbetween", rot.qbetween(data["a"], data["b"]))
    data.check("expmap_to_quaternion", rot.expmap_to_quaternion(data["expmap"]))


def test_matrices_and_6d_match_released_code(golden):
    data = golden("skeleton")
    data.check("mat", rot.quaternion_to_matrix(data["q"]))
    data.check("q_to_cont6d", rot.quaternion_to_cont6d(data["q"]))
    data.check("cont6d_to_matrix", rot.cont6d_to_matrix(data["cont6d"]))
    data.check("cont6d_to_quat", rot.cont6d_to_quaternion(data["cont6d"]))


@pytest.mark.parametrize("order", rot.EULER_ORDERS)
def test_euler_angles_match_released_code(golden, order):
    data = golden("skeleton")
    data.check(f"euler2quat_{order}", rot.euler_to_quaternion(data["euler"], order))
    data.check(f"qeuler_{order}", rot.quaternion_to_euler(data["q"][:, 0], order))
