"""The rotation of a joint whose one bone goes where it goes: what is left to choose is how the bone twists."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv1d, normalize, pad

from .rotations import expmap_to_quaternion, qbetween, qinv, qmul, qnormalize, qrot

PARENT_SAYS = 0.05
"""What the parent has to say about twist, where a knee or an elbow bent by a right angle says 1."""

SIGMA = 3
"""Width in frames of the Gaussian that smooths twist over time."""


@dataclass(frozen=True)
class Hint:
    """A later `bone` (..., T, 3), seen from the parent, should lie to that `side` when nothing is turned."""

    bone: Tensor
    side: tuple[int, int, int]
    weight: float


def steady_swing(rest: Tensor, direction: Tensor, hints: list[Hint]) -> Tensor:
    """Rotations (..., T, 4) that turn unit `rest` (..., 1, 3) to unit `direction` (..., T, 3) and never twist suddenly.

    The parent says: turn by the shortest arc. That is unsteady about the direction opposite to `rest`, the less to be
    trusted the nearer; the hints come beside. Everything said is an angle from a frame that is carried along the motion
    without any twist, so that it can be averaged over time. Where opinions turn over from one frame to the next, by
    half a turn, the Gaussian smears that: twist changes by 180 / (SIGMA sqrt(2 pi)) = 24 degrees a frame.
    """
    carried = _carried(rest, direction)
    rest = rest.expand_as(direction)
    across = normalize(torch.linalg.cross(rest, rest.roll(1, dims=-1) + rest.new_tensor([0.3, 0.1, 0.2])), dim=-1)
    by_parent = qrot(qbetween(rest, direction), across)
    said = _angle(carried, rest, across, by_parent) * PARENT_SAYS * (1 + (rest * direction).sum(-1)) / 2
    for hint in hints:
        bone = normalize(hint.bone, dim=-1)
        said = said + hint.weight * _angle(carried, rest, rest.new_tensor(hint.side).expand_as(rest), bone)
    angle = torch.atan2(_smooth(said[1]), _smooth(said[0]))
    return qmul(carried, expmap_to_quaternion(_smooth(_unwrapped(angle))[..., None] * rest))


def _angle(carried: Tensor, rest: Tensor, side: Tensor, vector: Tensor) -> Tensor:
    """Cosine and sine (2, ..., T), times the lengths that count, of the angle about `rest` from `side` to `vector`."""
    vector = qrot(qinv(carried), vector)
    side = side - (side * rest).sum(-1, keepdim=True) * rest
    return torch.stack([(vector * side).sum(-1), (vector * torch.linalg.cross(rest, side)).sum(-1)])


def _carried(rest: Tensor, direction: Tensor) -> Tensor:
    """Rotations that turn `rest` to `direction`: the first by the shortest arc, each other one by the shortest arc from
    the frame before. The running product takes log2(T) steps."""
    before = torch.cat([rest, direction[..., :-1, :]], dim=-2)
    carried, step = qbetween(before, direction), 1
    while step < carried.shape[-2]:
        product = qmul(carried[..., step:, :], carried[..., :-step, :])
        carried = qnormalize(torch.cat([carried[..., :step, :], product], dim=-2))
        step *= 2
    return carried


def _unwrapped(angle: Tensor) -> Tensor:
    """Angles (..., T) without jumps of more than half a turn."""
    turns = torch.round(angle.diff(dim=-1) / (2 * math.pi)).cumsum(-1)
    return angle - 2 * math.pi * pad(turns, (1, 0))


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian average over the last dimension; the ends are held."""
    reach = 4 * SIGMA
    distance = torch.arange(-reach, reach + 1, dtype=signal.dtype, device=signal.device)
    kernel = torch.exp(-0.5 * (distance / SIGMA) ** 2)
    rows = pad(signal.reshape(-1, 1, signal.shape[-1]), (reach, reach), mode="replicate")
    return conv1d(rows, (kernel / kernel.sum()).view(1, 1, -1)).view(signal.shape)
