"""Quaternions and vectors as lists of components, each a tensor of its own: w, x, y, z and x, y, z.

This is the arithmetic of `rotations` without interleaving, for long motions. Results are rounded as the released
float32 code rounds on a CPU with fused multiply-add: where a bone points against its rest direction, the last bit grows
to visible angles. Source: released `common/quaternion.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Components = Sequence[Tensor]


def dot(a: Components, b: Components) -> Tensor:
    result = a[0] * b[0]
    for x, y in zip(a[1:], b[1:]):
        result = result + x * y
    return result


def cross(a: Components, b: Components) -> Components:
    (ax, ay, az), (bx, by, bz) = a, b
    return [
        torch.addcmul(-(az * by), ay, bz),
        torch.addcmul(-(ax * bz), az, bx),
        torch.addcmul(-(ay * bx), ax, by),
    ]


def length(v: Components) -> Tensor:
    """Euclidean length; NaN for the zero vector, which has no direction either."""
    squares = dot(v, v)
    # A root and one Newton step, which fused multiply-add makes exact; vectorised roots may miss the last bit.
    inverse = squares.rsqrt()
    root = squares * inverse
    return torch.addcmul(root, torch.addcmul(squares, root, root, value=-1), inverse, value=0.5)


def normalize(v: Components) -> Components:
    norm = length(v)
    return [component / norm for component in v]


def qmul(q: Components, r: Components) -> Components:
    """The rotation r followed by q."""
    (qw, qx, qy, qz), (rw, rx, ry, rz) = q, r
    return [
        rw * qw - rx * qx - ry * qy - rz * qz,
        rw * qx + rx * qw - ry * qz + rz * qy,
        rw * qy + rx * qz + ry * qw - rz * qx,
        rw * qz - rx * qy + ry * qx + rz * qw,
    ]


def qinv(q: Components) -> Components:
    w, x, y, z = q
    return [w, -x, -y, -z]


def qrot(q: Components, v: Components) -> Components:
    w, *axis = q
    once = cross(axis, v)
    twice = cross(axis, once)
    return [torch.add(a, w * b + c, alpha=2) for a, b, c in zip(v, once, twice)]


def qbetween(a: Components, b: Components) -> Components:
    """Shortest rotation that turns a into the direction of b.

    Opposite vectors get a half turn about an axis across a, a zero vector the identity.
    """
    lengths = (dot(a, a) * dot(b, b)).sqrt()
    q = [lengths + dot(a, b), *cross(a, b)]
    norm = length(q)
    turned = [component / norm for component in q]
    nearly_zero = 4 * torch.finfo(norm.dtype).eps
    if (norm / lengths).amin() > nearly_zero:
        return turned
    ax, _, az = a
    zero = torch.zeros_like(ax)
    half_turn = normalize([zero, torch.where((ax == 0) & (az == 0), 1.0, -az), zero, ax])
    otherwise = [torch.where(lengths > 0, half, one) for half, one in zip(half_turn, (1.0, 0.0, 0.0, 0.0))]
    return [torch.where(norm > nearly_zero * lengths, c, other) for c, other in zip(turned, otherwise)]


def quaternion_to_cont6d(q: Components) -> Components:
    """First two matrix columns."""
    w, x, y, z = q
    return [
        1 - 2 * (y * y + z * z),
        2 * (x * y + z * w),
        2 * (x * z - y * w),
        2 * (x * y - z * w),
        1 - 2 * (x * x + z * z),
        2 * (y * z + x * w),
    ]
