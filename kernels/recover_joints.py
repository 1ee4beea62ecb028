"""From the decoder's normalised features to features and joint positions (released `recover_from_ric`)."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def recover_joints_ref(normal: Tensor, mean: Tensor, std: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """normal (B,T,F), mean, std (F,) -> features (B,T,F) = normal * std + mean, and joints (B,T,J,3), metres, float32.

    F = 12 J - 1. lengths (B,) int64 in frames, or None: what lies at or beyond is never read, and zero in the results.
    """
    features = torch.addcmul(mean, normal.to(mean.dtype), std)
    if lengths is None:
        return features, joints_of_features(features)
    beyond = torch.arange(features.shape[1], device=features.device) >= lengths[:, None]
    features = features.masked_fill(beyond[..., None], 0)
    return features, joints_of_features(features).masked_fill(beyond[..., None, None], 0)


def joints_of_features(features: Tensor) -> Tensor:
    """features (..., T, 12 J - 1) -> joints (..., T, J, 3)."""
    half_angle, root = root_path(features)
    w, y = half_angle.cos()[..., None], half_angle.sin()[..., None]
    bones = (features.shape[-1] + 1) // 12 - 1
    local = features[..., 4 : 4 + 3 * bones].unflatten(-1, (-1, 3))
    x, z = turn(w, -y, local[..., 0], local[..., 2])
    joints = torch.stack([x + root[..., None, 0], local[..., 1], z + root[..., None, 2]], dim=-1)
    return torch.cat([root[..., None, :], joints], dim=-2)


def root_path(features: Tensor) -> tuple[Tensor, Tensor]:
    """features (..., T, F) -> half the yaw (..., T), radians, and the root's place (..., T, 3), metres.

    Row t tells the turn and the step into frame t + 1, the step measured in that frame's facing frame.
    """
    half_angle = pad(features[..., :-1, 0], (1, 0)).cumsum(-1)
    step_x, step_z = pad(features[..., :-1, 1:3], (0, 0, 1, 0)).unbind(-1)
    step_x, step_z = turn(half_angle.cos(), -half_angle.sin(), step_x, step_z)
    return half_angle, torch.stack([step_x.cumsum(-1), features[..., 3], step_z.cumsum(-1)], dim=-1)


def turn(w: Tensor, y: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal vectors (x, z) turned about +Y by the quaternion (w, 0, y, 0)."""
    across_x, across_z = y * z, -(y * x)
    return torch.add(x, w * across_x + y * across_z, alpha=2), torch.add(z, w * across_z - y * across_x, alpha=2)
