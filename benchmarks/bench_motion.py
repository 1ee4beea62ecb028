"""Motion features of a batch of clips against the released way, one clip after the other. One thread each."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from measure import Case, Plan

from lamp_fast.motion.features import joints_to_features
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.reference import motion as reference

CLIPS, FRAMES = 64, 196


def cases() -> Iterator[Plan]:
    yield Plan(f"joints_to_features humanml3d {CLIPS}x{FRAMES}", _case, rank=9)


def _case(clips: int = CLIPS) -> Case:
    joints = _standing_clips(clips)
    return Case(
        ways={
            "released": _on_one_thread(
                lambda: np.stack([reference.joints_to_features(clip, HUMANML3D) for clip in joints])
            ),
            "batched": _on_one_thread(lambda: joints_to_features(joints, HUMANML3D)),
        },
        compare=lambda expected, result: np.testing.assert_allclose(result, expected, atol=1e-5),
    )


def _standing_clips(clips: int) -> np.ndarray:
    """(clips, FRAMES, 22, 3) metres: bodies whose joints sway each at its own pace."""
    random = np.random.default_rng(0)
    pose = np.zeros((HUMANML3D.num_joints, 3))
    for parent, joint in HUMANML3D.bones:
        pose[joint] = pose[parent] + HUMANML3D.offsets[joint]
    size = (clips, 1, HUMANML3D.num_joints, 3)
    phase = np.arange(FRAMES)[:, None, None] * random.uniform(0.02, 0.2, size) + random.uniform(0, 6, size)
    return (pose + 0.05 * np.sin(phase)).astype(np.float32)


def _on_one_thread(call: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return call()
        finally:
            torch.set_num_threads(threads)

    return run
