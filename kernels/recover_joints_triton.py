"""recover_joints on a GPU: one program places one joint of one motion in all its frames."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .operands import contiguous

COLUMNS = 12  # of the features that a program copies beside its joint: F = 12 J - 1


@triton.jit
def cos_sin(angle):
    """Within 2e-7 for angles of a few turns: libdevice's own, made for any angle, keep a table in memory (sm_80).

    Polynomials of Cephes' sinf.c and cosf.c (Moshier) over an eighth of a turn.
    """
    quarter = tl.floor(angle * 0.6366197723675814 + 0.5)
    x = angle - quarter * 1.5707962512969971 - quarter * 7.549789415861596e-08  # pi / 2 in two numbers
    square = x * x
    sine = x + x * square * (-1.6666654611e-1 + square * (8.3321608736e-3 - square * 1.9515295891e-4))
    cosine = (
        1
        - 0.5 * square
        + square * square * (4.166664568298827e-2 + square * (-1.388731625493765e-3 + square * 2.443315711809948e-5))
    )
    turns = quarter.to(tl.int32) & 3
    odd = (turns & 1) == 1
    w, y = tl.where(odd, sine, cosine), tl.where(odd, cosine, sine)
    return tl.where((turns == 1) | (turns == 2), -w, w), tl.where(turns >= 2, -y, y)


@triton.jit
def turn(w, y, x, z):
    across_x, across_z = y * z, -(y * x)
    return x + 2 * (w * across_x + y * across_z), z + 2 * (w * across_z - y * across_x)


@triton.jit
def recovered(normal, mean, std, column, mask):
    """One column of the features in the frames of `mask`, zero elsewhere; `normal` points at the frames' rows."""
    value = tl.load(normal + column, mask=mask, other=0.0).to(tl.float32)
    return tl.where(mask, value * tl.load(std + column) + tl.load(mean + column), 0.0)


@triton.jit
def recover_joints_kernel(
    normal, mean, std, lengths, features, joints, T, F, COLUMNS: tl.constexpr, BLOCK_T: tl.constexpr
):
    """All tensors contiguous; lengths may be None."""
    sample, joint, num_joints = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    frames = tl.arange(0, BLOCK_T)
    length = T
    if lengths is not None:
        length = tl.load(lengths + sample).to(tl.int32)
    rows = (sample * T + frames) * F
    real, all_frames = frames < length, frames < T
    for i in range(COLUMNS):
        column = joint * COLUMNS + i
        if column < F:
            tl.store(features + rows + column, recovered(normal + rows, mean, std, column, real), mask=all_frames)

    # The row before tells the turn and the step into a frame.
    before, moved = normal + rows - F, real & (frames > 0)
    half_angle = tl.cumsum(recovered(before, mean, std, 0, moved), axis=0)
    w, y = cos_sin(-half_angle)
    step_x = recovered(before, mean, std, 1, moved)
    step_z = recovered(before, mean, std, 2, moved)
    step_x, step_z = turn(w, y, step_x, step_z)
    x, z = tl.cumsum(step_x, axis=0), tl.cumsum(step_z, axis=0)
    height = recovered(normal + rows, mean, std, 3, real)
    if joint > 0:
        first = 1 + 3 * joint
        local_x = recovered(normal + rows, mean, std, first, real)
        height = recovered(normal + rows, mean, std, first + 1, real)
        local_z = recovered(normal + rows, mean, std, first + 2, real)
        local_x, local_z = turn(w, y, local_x, local_z)
        x, z = x + local_x, z + local_z
    place = joints + ((sample * T + frames) * num_joints + joint) * 3
    tl.store(place, tl.where(real, x, 0.0), mask=all_frames)
    tl.store(place + 1, height, mask=all_frames)
    tl.store(place + 2, tl.where(real, z, 0.0), mask=all_frames)


def recover_joints_triton(
    normal: Tensor, mean: Tensor, std: Tensor, lengths: Tensor | None, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """As `recover_joints_ref`, for a few hundred frames. out: features and joints, contiguous: written and returned."""
    batch, frames, width = normal.shape
    num_joints = (width + 1) // COLUMNS
    if out is None:
        out = tuple(torch.empty(batch, frames, *s, device=normal.device) for s in ((width,), (num_joints, 3)))
    if normal.numel() == 0:
        return out
    with torch.cuda.device_of(normal):
        recover_joints_kernel[(batch, num_joints)](
            *map(contiguous, (normal, mean, std, lengths)),
            *out,
            frames,
            width,
            COLUMNS=COLUMNS,
            BLOCK_T=max(16, triton.next_power_of_2(frames)),
            num_warps=4,
        )
    return out
