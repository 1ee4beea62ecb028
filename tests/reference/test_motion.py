"""The released extraction against its fixtures; and the batched one against it, in result and in time."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from lamp_fast.motion import features
from lamp_fast.motion.skeleton import HUMANML3D, KIT
from lamp_fast.reference import motion as reference


def clips(count, frames, skeleton):
    """Bodies whose joints sway each at its own pace, anywhere and facing anywhere."""
    random = np.random.default_rng(0)
    pose = np.zeros((skeleton.num_joints, 3))
    for parent, joint in skeleton.bones:
        pose[joint] = pose[parent] + 0.2 * np.array(skeleton.t_pose[joint])
    size = (count, 1, skeleton.num_joints, 3)
    phase = np.arange(frames)[:, None, None] * random.uniform(0.02, 0.2, size) + random.uniform(0, 6, size)
    heading = random.uniform(-3, 3, (count, 1, 1))
    x, y, z = np.moveaxis(pose + 0.05 * np.sin(phase), -1, 0)
    x, z = x * np.cos(heading) + z * np.sin(heading), z * np.cos(heading) - x * np.sin(heading)
    return (np.stack([x, y, z], axis=-1) + random.normal(size=(count, 1, 1, 3))).astype(np.float32)


KIT_WITH_BONES = KIT.with_offsets(0.2 * np.array(KIT.raw_offsets))


@pytest.mark.parametrize(("fixture", "skeleton"), [("motion_features", HUMANML3D), ("motion_features_kit", KIT)])
def test_released_features(golden, fixture, skeleton):
    data = golden(fixture)
    skeleton = replace(
        skeleton.with_offsets(data["target_offsets"].tolist()), foot_threshold=data.config["feet_threshold"]
    )
    for clip in data.config["clips"]:
        joints = data[f"joints_{clip}"].numpy()
        data.check(f"features_{clip}", reference.joints_to_features(joints, skeleton))
        if f"uniform_{clip}" in data.data:
            data.check(f"uniform_{clip}", reference.uniform_skeleton(joints, skeleton).astype(np.float32))


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT_WITH_BONES], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("frames", [2, 7, 63, 196])
def test_batched_features_equal_the_released_way(skeleton, frames):
    joints = clips(3, frames, skeleton)
    expected = np.stack([reference.joints_to_features(clip, skeleton) for clip in joints])
    # The same float32 operations in the same order, but for the last product of each joint's rotation.
    np.testing.assert_allclose(features.joints_to_features(joints, skeleton), expected, atol=5e-6)


def test_long_batches_are_taken_in_groups(monkeypatch):
    joints = torch.from_numpy(clips(5, 49, HUMANML3D))
    whole = features.joints_to_features(joints, HUMANML3D)
    for frames in (1, 100):
        monkeypatch.setattr(features, "FRAMES_AT_ONCE", frames)
        torch.testing.assert_close(features.joints_to_features(joints, HUMANML3D), whole, atol=1e-6, rtol=0)


def test_a_batch_is_far_faster_than_clip_by_clip():
    """30 times and more on a machine with nothing else to do (benchmarks/bench_motion.py); here a third of that."""

    def seconds_per_clip(call, count):
        began = time.process_time()
        call()
        return (time.process_time() - began) / count

    joints = clips(32, 196, HUMANML3D)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratios = [
            seconds_per_clip(lambda: [reference.joints_to_features(clip, HUMANML3D) for clip in joints[:2]], 2)
            / seconds_per_clip(lambda: features.joints_to_features(joints, HUMANML3D), len(joints))
            for _ in range(6)
        ]
    finally:
        torch.set_num_threads(threads)
    assert np.median(ratios[1:]) > 10, ratios
