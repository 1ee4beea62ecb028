"""Rotation functions against the released code's numbers, and against what rotations must satisfy."""

import pytest
import torch

from lamp_fast.errors import LampError
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


@pytest.mark.parametrize("order", rot.EULER_ORDERS)
@pytest.mark.parametrize("middle", [None, 90, -90, 89.9999], ids=str)
def test_euler_angles_come_back(order, middle):
    q = random_quaternions(63)
    if middle is not None:
        angles = 360 * torch.rand(63, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        angles[:, "xyz".index(order[1])] = middle
        q = rot.euler_to_quaternion(angles, order)
    letters = rot.quaternion_to_euler(q, order)
    angles = torch.stack([letters[:, order.index(axis)] for axis in "xyz"], dim=-1)
    assert angle_between(rot.euler_to_quaternion(angles, order), q).max() < 1e-6
    in_radians = rot.euler_to_quaternion(torch.deg2rad(angles), order, degrees=False)
    assert angle_between(in_radians, q).max() < 1e-6


def test_unknown_euler_order_gets_a_sentence():
    for function in (rot.quaternion_to_euler, rot.euler_to_quaternion):
        with pytest.raises(LampError, match="expected one of xyz"):
            function(torch.ones(1, 4 if function is rot.quaternion_to_euler else 3), "xyx")


def test_matrix_and_6d_come_back():
    q = random_quaternions(7, 49)
    assert angle_between(rot.matrix_to_quaternion(rot.quaternion_to_matrix(q)), q).max() < 1e-6
    assert angle_between(rot.cont6d_to_quaternion(rot.quaternion_to_cont6d(q)), q).max() < 1e-6
    half_turns = torch.eye(4, dtype=torch.float64)
    assert torch.allclose(rot.matrix_to_quaternion(rot.quaternion_to_matrix(half_turns)), half_turns)


def test_operands_broadcast_and_need_not_be_contiguous():
    q, r = random_quaternions(5, 7), random_quaternions(7, 5, seed=1).transpose(0, 1)
    v = torch.randn(7, 3, dtype=torch.float64)
    assert torch.equal(rot.qmul(q, r), rot.qmul(q, r.contiguous()))
    assert torch.equal(rot.qmul(q[0, 0], q), rot.qmul(q[0, 0].expand_as(q), q))
    assert torch.equal(rot.qrot(q, v), rot.qrot(q, v.expand(5, 7, 3)))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_qbetween_turns_a_onto_b(count):
    a, b = torch.randn(2, count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    b = b / b.norm(dim=-1, keepdim=True) * a.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(rot.qrot(rot.qbetween(a, b), a), b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("vector", [(1, 0, 0), (0, -1, 0), (0, 0, 1), (0.3, -2, 1)], ids=str)
def test_qbetween_of_opposite_vectors_is_a_half_turn(vector, dtype):
    a = torch.tensor([vector], dtype=dtype)
    q = rot.qbetween(a, -a)
    torch.testing.assert_close(rot.qrot(q, a), -a)
    torch.testing.assert_close(q.norm(dim=-1), torch.ones(1, dtype=dtype))


def test_qbetween_of_a_zero_vector_is_the_identity():
    identity = torch.tensor([1.0, 0, 0, 0])
    assert torch.equal(rot.qbetween(torch.zeros(3), torch.ones(3)), identity)
    assert torch.equal(rot.qbetween(torch.ones(3), torch.zeros(3)), identity)


def test_slerp_keeps_speed_and_takes_the_short_way():
    q, r = random_quaternions(49), random_quaternions(49, seed=1)
    whole = angle_between(q, r)
    for fraction in (0.0, 0.25, 1.0):
        for target in (r, -r):
            torch.testing.assert_close(
                angle_between(rot.slerp(q, target, fraction), q), fraction * whole, atol=1e-6, rtol=0
            )
    torch.testing.assert_close(rot.slerp(q, q, 0.5), q)


def test_qcontinuous_keeps_the_rotation_and_the_sign():
    turn = torch.linspace(0, 20, 63)[:, None]
    q = torch.stack([turn.cos(), turn.sin(), 0 * turn, 0 * turn], dim=-1)
    flipped = q * (-1.0) ** torch.arange(63)[:, None, None]
    torch.testing.assert_close(rot.qcontinuous(flipped), q)
