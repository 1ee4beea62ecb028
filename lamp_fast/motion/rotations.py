"""Rotations as unit quaternions (w, x, y, z) and as 6-d vectors (the first two columns of the matrix).

Functions take any leading dims and broadcast. Where `dim` is given, components lie along that dim instead of the last
one, so that long planes of numbers need not be interleaved. Arrays in give arrays out.

Source: released `common/quaternion.py`; formulas are the usual ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .arrays import accepts_numpy


@accepts_numpy
def qmul(q: Tensor, r: Tensor, dim: int = -1) -> Tensor:
    """Product q r of quaternions (..., 4): the rotation r followed by q."""
    qw, qx, qy, qz = q.unbind(dim)
    rw, rx, ry, rz = r.unbind(dim)
    return torch.stack(
        [
            qw * rw - qx * rx - qy * ry - qz * rz,
            qw * rx + qx * rw + qy * rz - qz * ry,
            qw * ry - qx * rz + qy * rw + qz * rx,
            qw * rz + qx * ry - qy * rx + qz * rw,
        ],
        dim=dim,
    )


@accepts_numpy
def qinv(q: Tensor, dim: int = -1) -> Tensor:
    """Inverse of unit quaternions (..., 4): the conjugate."""
    w, x, y, z = q.unbind(dim)
    return torch.stack([w, -x, -y, -z], dim=dim)


@accepts_numpy
def qrot(q: Tensor, v: Tensor, dim: int = -1) -> Tensor:
    """Vectors v (..., 3) rotated by unit quaternions q (..., 4)."""
    w, x, y, z = q.unbind(dim)
    vx, vy, vz = v.unbind(dim)
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return torch.stack(
        [
            vx + w * tx + y * tz - z * ty,
            vy + w * ty + z * tx - x * tz,
            vz + w * tz + x * ty - y * tx,
        ],
        dim=dim,
    )


@accepts_numpy
def qnormalize(q: Tensor, dim: int = -1) -> Tensor:
    """Quaternions (..., 4) scaled to length one."""
    return q / q.norm(dim=dim, keepdim=True)


@accepts_numpy
def qbetween(a: Tensor, b: Tensor, dim: int = -1) -> Tensor:
    """Unit quaternion (..., 4) of the shortest rotation that turns vector a (..., 3) into the direction of b (..., 3).

    Opposite vectors get a half turn about an axis across a, where the released code gives NaN.
    """
    ax, ay, az = a.unbind(dim)
    bx, by, bz = b.unbind(dim)
    lengths = ((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz)).sqrt()
    w = lengths + (ax * bx + ay * by + az * bz)
    q = torch.stack([w, ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=dim)
    norm = q.norm(dim=dim, keepdim=True)
    opposite = norm <= 4 * torch.finfo(q.dtype).eps * lengths.unsqueeze(dim)
    zero = torch.zeros_like(ax)
    across = torch.stack([zero, torch.where((ax == 0) & (az == 0), 1.0, -az), zero, ax], dim=dim)
    return torch.where(opposite, qnormalize(across, dim), q / norm)


@accepts_numpy
def quaternion_to_cont6d(q: Tensor, dim: int = -1) -> Tensor:
    """First two columns (..., 6) of the matrices of unit quaternions (..., 4)."""
    w, x, y, z = q.unbind(dim)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z),
            2 * (x * y + z * w),
            2 * (x * z - y * w),
            2 * (x * y - z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z + x * w),
        ],
        dim=dim,
    )
