"""Rotations: unit quaternions (w, x, y, z), matrices, 6-d vectors (first two matrix columns), Euler angles, axis-angle.

Functions take any leading dims and broadcast; NumPy arrays in give arrays out. Source: released `common/quaternion.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..errors import LampError
from . import components
from .arrays import accepts_numpy

EULER_ORDERS = ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")


def _by_components(function: Callable[..., Iterable[Tensor]], *operands: Tensor) -> Tensor:
    """Apply a function of `components` to operands (..., C) that broadcast."""
    shape = torch.broadcast_shapes(*(operand.shape[:-1] for operand in operands))
    return torch.stack([*function(*(operand.expand(*shape, -1).movedim(-1, 0) for operand in operands))], dim=-1)


@accepts_numpy
def qmul(q: Tensor, r: Tensor) -> Tensor:
    """Product q r of quaternions (..., 4): the rotation r followed by q."""
    return _by_components(components.qmul, q, r)


@accepts_numpy
def qinv(q: Tensor) -> Tensor:
    """Inverse of unit quaternions (..., 4): the conjugate."""
    return _by_components(components.qinv, q)


@accepts_numpy
def qrot(q: Tensor, v: Tensor) -> Tensor:
    """Vectors v (..., 3) rotated by unit quaternions q (..., 4)."""
    return _by_components(components.qrot, q, v)


@accepts_numpy
def qnormalize(q: Tensor) -> Tensor:
    """Quaternions (..., 4) scaled to length one."""
    return _by_components(components.normalize, q)


@accepts_numpy
def qbetween(a: Tensor, b: Tensor) -> Tensor:
    """Unit quaternion (..., 4) of the shortest rotation that turns vectors a (..., 3) into the direction of b (..., 3).

    Opposite vectors get a half turn about an axis across a, a zero vector the identity (the released code gives NaN for
    both; it is also wrong for exactly three vectors).
    """
    return _by_components(components.qbetween, a, b)


@accepts_numpy
def qcontinuous(q: Tensor, time_dim: int = -3) -> Tensor:
    """Quaternions (..., T, J, 4), each with the sign nearer to the frame before (released `qfix`)."""
    previous, following = q.narrow(time_dim, 0, q.shape[time_dim] - 1), q.narrow(time_dim, 1, q.shape[time_dim] - 1)
    flips = ((previous * following).sum(-1, keepdim=True) < 0).cumsum(time_dim) % 2
    return torch.cat([q.narrow(time_dim, 0, 1), torch.where(flips == 1, -following, following)], dim=time_dim)


@accepts_numpy
def slerp(q: Tensor, r: Tensor, fraction: Tensor | float) -> Tensor:
    """Rotation the given fraction of the way from q to r, quaternions (..., 4), along the shorter arc.

    fraction: a number or a tensor that broadcasts against (...,); 0 gives q, 1 gives r (or -r).
    """
    fraction = torch.as_tensor(fraction, dtype=q.dtype, device=q.device).unsqueeze(-1)
    cos = (q * r).sum(-1, keepdim=True)
    r = torch.where(cos < 0, -r, r)
    angle = cos.abs().clamp(max=1).acos()
    nearly_equal = angle < 1e-3
    sin = torch.where(nearly_equal, 1.0, angle.sin())
    weight_q = torch.where(nearly_equal, 1 - fraction, ((1 - fraction) * angle).sin() / sin)
    weight_r = torch.where(nearly_equal, fraction, (fraction * angle).sin() / sin)
    return qnormalize(weight_q * q + weight_r * r)


@accepts_numpy
def quaternion_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4), which need not be of length one."""
    w, x, y, z = q.unbind(-1)
    s = 2 / (q * q).sum(-1)
    rows = [
        1 - s * (y * y + z * z),
        s * (x * y - z * w),
        s * (x * z + y * w),
        s * (x * y + z * w),
        1 - s * (x * x + z * z),
        s * (y * z - x * w),
        s * (x * z - y * w),
        s * (y * z + x * w),
        1 - s * (x * x + y * y),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


@accepts_numpy
def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of rotation matrices (..., 3, 3) (released `matrix_to_quat`).

    Each component follows from any other. The one that divides is chosen by the signs of the diagonal (Day, "Converting
    a rotation matrix to a quaternion"), which keeps it at 1/2 or more; it is positive in the result.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    # Row i is 4 * component i * (w, x, y, z).
    products = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01], dim=-1),
            torch.stack([m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20], dim=-1),
            torch.stack([m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m21 + m12], dim=-1),
            torch.stack([m10 - m01, m02 + m20, m21 + m12, 1 - m00 - m11 + m22], dim=-1),
        ],
        dim=-2,
    )
    divisor = torch.where(m22 < 0, torch.where(m00 > m11, 1, 2), torch.where(m00 < -m11, 3, 0))
    return qnormalize(products.take_along_dim(divisor[..., None, None], dim=-2).squeeze(-2))


@accepts_numpy
def quaternion_to_cont6d(q: Tensor) -> Tensor:
    """First two matrix columns (..., 6) of unit quaternions (..., 4)."""
    return _by_components(components.quaternion_to_cont6d, q)


@accepts_numpy
def cont6d_to_matrix(cont6d: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of 6-d vectors (..., 6), by Gram-Schmidt."""
    first, second = cont6d[..., :3], cont6d[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, second), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)


@accepts_numpy
def cont6d_to_quaternion(cont6d: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of 6-d vectors (..., 6), signs as `matrix_to_quaternion`."""
    return matrix_to_quaternion(cont6d_to_matrix(cont6d))


@accepts_numpy
def quaternion_to_euler(q: Tensor, order: str, degrees: bool = True) -> Tensor:
    """Angles (..., 3), in the letters' order, of unit quaternions (..., 4) = first second third (released `qeuler`).

    order: one of `EULER_ORDERS`; "zyx" turns about x first, then y, then z, in fixed axes. The middle angle lies within
    90 degrees; at 90 degrees, where only the sum or the difference of the others counts, they share it, so that the
    rotation is still exact. Raises `LampError` for an unknown order.
    """
    _check_order(order)
    first, second, third = ("xyz".index(axis) for axis in order)
    # -1 for the orders that run against x -> y -> z -> x.
    sign = 1 if (second - first) % 3 == 1 else -1
    w, a, b, c = q[..., 0], q[..., 1 + first], q[..., 1 + second], sign * q[..., 1 + third]
    half_sum, half_difference = torch.atan2(a + c, w + b), torch.atan2(a - c, w - b)
    middle = 2 * torch.atan2(torch.hypot(a + c, w + b), torch.hypot(a - c, w - b)) - math.pi / 2
    outer = torch.stack([half_sum + half_difference, sign * (half_sum - half_difference)])
    outer = outer - 2 * math.pi * torch.round(outer / (2 * math.pi))
    angles = torch.stack([outer[0], middle, outer[1]], dim=-1)
    return torch.rad2deg(angles) if degrees else angles


@accepts_numpy
def euler_to_quaternion(angles: Tensor, order: str, degrees: bool = True) -> Tensor:
    """Quaternions (..., 4) of Euler angles (..., 3) about x, y, z, multiplied in that order (released `euler2quat`).

    Mind that the angles come as (x, y, z) whatever the order. As in the released code the result is negated, which is
    the same rotation, for the orders xyz, yzx and zxy. Raises `LampError` for an unknown order.
    """
    _check_order(order)
    half = (torch.deg2rad(angles) if degrees else angles) / 2
    cos, sin = half.cos(), half.sin()
    zero = torch.zeros_like(cos[..., 0])

    def about(axis: str) -> Tensor:
        i = "xyz".index(axis)
        parts = [cos[..., i], zero, zero, zero]
        parts[1 + i] = sin[..., i]
        return torch.stack(parts, dim=-1)

    first, second, third = map(about, order)
    q = qmul(qmul(first, second), third)
    return -q if order in ("xyz", "yzx", "zxy") else q


@accepts_numpy
def expmap_to_quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of axis-angle vectors (..., 3): direction is the axis, length the angle in radians."""
    half = rotation.norm(dim=-1, keepdim=True) / 2
    return torch.cat([half.cos(), 0.5 * torch.sinc(half / math.pi) * rotation], dim=-1)


def _check_order(order: str) -> None:
    if order not in EULER_ORDERS:
        raise LampError(f"Euler order is {order!r}, expected one of {', '.join(EULER_ORDERS)}")
