import copy

import numpy as np
import pytest
import torch

from lamp_fast.motion.skeleton import HUMANML3D


@pytest.fixture(scope="session")
def lamp(tiny_lamp):
    """`tiny_lamp` with larger weights, so that another motion has another embedding."""
    lamp = copy.deepcopy(tiny_lamp)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*lamp.language_motion.parameters(), *lamp.tokenizer.encoder.parameters()]:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return lamp


@pytest.fixture(scope="session")
def model_folder(lamp, tmp_path_factory):
    from lamp_fast.checkpoints.folder import save_lamp

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_lamp(folder, lamp)
    return folder


@pytest.fixture(scope="session")
def retriever(lamp):
    from lamp_fast import MotionRetriever

    return MotionRetriever(lamp, "tiny")


@pytest.fixture(scope="session")
def joints():
    """`joints(7, frames=60)`: a body (T, 22, 3) that moves, differently for every number."""
    rest = np.zeros((22, 3))
    for joint, parent in enumerate(HUMANML3D.parents):
        if parent >= 0:
            rest[joint] = rest[parent] + HUMANML3D.offsets[joint]
    rest[:, 1] -= rest[:, 1].min()

    def make(number: int, frames: int = 30) -> np.ndarray:
        draw = np.random.default_rng(number)
        time = np.arange(frames)[:, None, None] / 20
        swing = 0.15 * np.sin(2 * np.pi * draw.uniform(0.3, 1.5, (22, 3)) * time + draw.uniform(0, 6, (22, 3)))
        return (rest + swing + time * draw.uniform(-0.5, 0.5, 3) * [1, 0, 1]).astype(np.float32)

    return make


@pytest.fixture
def write(joints, tmp_path):
    """`write("walk", 3)`: a file of one motion in the folder `clips`; returns its path."""
    folder = tmp_path / "clips"
    folder.mkdir(exist_ok=True)

    def make(name: str, number: int, frames: int = 30):
        path = folder / f"{name}.npz"
        np.savez(path, joints=joints(number, frames), fps=20)
        return path

    return make
