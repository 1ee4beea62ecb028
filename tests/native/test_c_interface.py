"""The C library seen from Python: the layout of its structs, and its motions against those of the Python engine.

The library is that of `make test`, build/ctest, or of the folder that LAMP_FAST_CTEST names.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from ctypes import byref
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp_fast import LampPipeline
from lamp_fast.engine import LampEngine
from lamp_fast.engine.native_file import write_native
from lamp_fast.export.coordinates import COORDINATES
from lamp_fast.motion.features import features_to_joints, joints_to_features
from lamp_fast.motion.rotations import qmul, qrot

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LAMP_FAST_CTEST", ROOT / "build/ctest"))
PROMPT = "a person walks forward and waves"


def _mirror():
    spec = importlib.util.spec_from_file_location("c_interface", Path(__file__).with_name("c_interface.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


c = _mirror()


@pytest.fixture(scope="module")
def library():
    built = [path for path in (BUILD / "liblamp_fast.so", BUILD / "liblamp_fast.dylib") if path.exists()]
    if not built:
        pytest.skip(f"the C library is not built in {BUILD}")
    return c.Library(built[0])


@pytest.fixture(scope="module")
def lamp():
    from lamp_fast.checkpoints.folder import load_lamp

    if not (ROOT / "lamp_fast/assets/lamp-mini").is_dir():
        pytest.skip("lamp-mini is not bundled")
    return load_lamp("lamp-mini")


@pytest.fixture(scope="module")
def model_file(lamp, tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "lamp-mini.safetensors"
    write_native(path, lamp, "f32")
    return path


@pytest.fixture
def session(library, model_file):
    """A function that makes sessions of the given params; they are closed at the end."""
    made = []

    def make(**params):
        made.append(c.Session(library, model_file, **params))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_layout(library):
    lines = subprocess.run([BUILD / "layout"], check=True, capture_output=True, text=True).stdout.splitlines()
    expected = {(struct, field): int(value) for struct, field, value in map(str.split, lines)}
    found = {(s.__name__, "sizeof"): ctypes.sizeof(s) for s in c.STRUCTS}
    found |= {(s.__name__, name): getattr(s, name).offset for s in c.STRUCTS for name, _ in s._fields_}
    assert found == expected
    # A field added where there is padding would leave struct_size as it was.
    for struct in c.STRUCTS:
        assert sum(getattr(struct, name).size for name, _ in struct._fields_) == ctypes.sizeof(struct), struct.__name__


def test_every_struct_of_the_header_is_mirrored():
    header = (ROOT / "csrc/include/lamp_fast.h").read_text()
    structs = set(re.findall(r"^typedef struct (\w+) {", header, re.MULTILINE))
    assert structs == {struct.__name__ for struct in c.STRUCTS}


def test_every_function_of_the_header_is_in_the_library(library):
    header = (ROOT / "csrc/include/lamp_fast.h").read_text()
    names = re.findall(r"^LF_API [\w\s*]*?\b(lf_\w+)\(", header, re.MULTILINE)
    assert len(names) > 25
    for name in names:
        assert hasattr(library.c, name)


# A process of its own: what was asked for by whoever starts a program counts as the program's.
MEASURE = """
import os, sys
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(status, used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells what a process used in other units")
def test_a_program_stays_small(library, lamp, tmp_path):
    model_file = tmp_path / "lamp-mini.safetensors"
    write_native(model_file, lamp, "int8")
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")
    program, source = tmp_path / "prompt_to_bvh", ROOT / "examples/c/prompt_to_bvh.c"
    links = (f"-L{BUILD}", f"-Wl,-rpath,{BUILD.resolve()}", "-llamp_fast", "-lm")
    subprocess.run([compiler, source, "-o", program, f"-I{ROOT / 'csrc/include'}", *links], check=True)
    command = [sys.executable, "-c", MEASURE, program, model_file, PROMPT, tmp_path / "motion.bvh", "9.8"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    status, kibibytes, seconds = map(float, output.splitlines()[-1].split())
    assert status == 0
    assert kibibytes * 1024 < 150e6
    assert seconds < 1  # 0.2 on Zen 4; the processor's time, from the start of the program to its end
    assert (BUILD / "liblamp_fast.so").stat().st_size < 10e6


@pytest.mark.parametrize("frames, seed", [(4, 0), (28, 2**63 + 5), (196, 3)])
def test_motion_is_that_of_the_pipeline(session, lamp, frames, seed):
    made = session().generate(PROMPT, frames, seed=seed)
    expected = LampPipeline(lamp)(PROMPT, frames / lamp.skeleton.fps, seed=seed)
    assert made["tokens"].tolist() == expected.tokens.tolist()
    # Float32 in another order of additions.
    np.testing.assert_allclose(made["features"], expected.features, atol=1e-3)
    one = session(skeleton=1)
    names = [name for name, _, _ in one.joints()]
    assert tuple(names) == lamp.skeleton.joint_names
    joints = one.generate(PROMPT, frames, seed=seed)["positions"]
    np.testing.assert_allclose(joints, features_to_joints(made["features"], lamp.skeleton), atol=1e-5)
    np.testing.assert_allclose(joints, expected.joints, atol=1e-2)


def place(session, rotations, roots):
    """Positions (T, K, 3) of rotations (T, K, 4), x y z w, on the skeleton as the session tells it."""
    joints = session.joints()
    wxyz = rotations[..., [3, 0, 1, 2]].astype(np.float64)
    world, positions = [], []
    for i, (_, parent, rest) in enumerate(joints):
        if parent < 0:
            world.append(wxyz[:, i])
            positions.append(roots)
            continue
        world.append(qmul(world[parent], wxyz[:, i]))
        positions.append(positions[parent] + qrot(world[parent], np.broadcast_to(rest, roots.shape)))
    return np.stack(positions, 1)


@pytest.mark.parametrize("coordinates", range(4), ids=["gltf", "unity", "unreal", "blender"])
def test_rotations_place_the_joints(session, coordinates):
    one = session(coordinates=coordinates)
    made = one.generate(PROMPT, 80, seed=1)
    unit = 100 if coordinates == 2 else 1
    off = np.linalg.norm(place(one, made["rotations"], made["positions"][:, 0]) - made["positions"], axis=-1) / unit
    assert off.mean() < 0.03 and off.max() < 0.15  # bones of the standard body against those that the model drew


@pytest.mark.parametrize("number, name", list(enumerate(["gltf", "unity", "unreal", "blender"])))
def test_coordinates(session, number, name):
    ours, theirs = session().generate(PROMPT, 20, seed=1), session(coordinates=number).generate(PROMPT, 20, seed=1)
    space = COORDINATES[name]
    np.testing.assert_allclose(theirs["positions"], space.positions(ours["positions"]), rtol=1e-6, atol=1e-6)
    expected = space.quaternions(ours["rotations"][..., [3, 0, 1, 2]])[..., [1, 2, 3, 0]]
    np.testing.assert_allclose(theirs["rotations"], expected, atol=1e-6)


def test_root_apart_is_the_same_motion(session):
    whole, apart = session().generate(PROMPT, 60, seed=4), session(root_mode=1).generate(PROMPT, 60, seed=4)
    yaw = apart["root_rotations"][:, None, [3, 0, 1, 2]]
    again = qrot(np.broadcast_to(yaw, (60, 27, 4)).astype(np.float64), apart["positions"].astype(np.float64))
    np.testing.assert_allclose(again + apart["root_positions"][:, None], whole["positions"], atol=1e-5)
    first = qmul(apart["root_rotations"][:, [3, 0, 1, 2]], apart["rotations"][:, 0][:, [3, 0, 1, 2]])
    same = np.abs((first * whole["rotations"][:, 0][:, [3, 0, 1, 2]]).sum(-1))
    np.testing.assert_allclose(same, 1, atol=1e-5)


def test_embeddings_are_those_of_the_model(session, lamp):
    one = session(skeleton=1)
    width = one.info.embedding_width
    ids, mask = lamp.text_tokenizer([PROMPT], lamp.config.language_motion.max_text_tokens)
    expected = lamp.eval().language_motion.text_embedding(ids, mask)[0].detach().numpy()
    np.testing.assert_allclose(one.numbers("lf_embed_text", width, PROMPT.encode()), expected, atol=1e-4)

    clip = np.ascontiguousarray(one.generate(PROMPT, 81, seed=2)["positions"])
    features = torch.from_numpy(np.asarray(joints_to_features(clip, lamp.skeleton)))
    with torch.no_grad():
        latents, lengths = lamp.read_motions([features])
        expected = lamp.language_motion.motion_embedding(latents, lengths)[0].numpy()
    found = one.numbers("lf_embed_motion", width, c.pointer(clip.ctypes.data), len(clip))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_encoded_prompt_is_the_condition(session, lamp):
    one = session()
    found = one.numbers("lf_encode_prompt", one.info.condition_width, PROMPT.encode())
    np.testing.assert_allclose(found, LampEngine(lamp).condition([PROMPT])[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("before, between, after", [(8, 30, 8), (1, 40, 1), (13, 22, 0), (0, 31, 9), (20, 5, 20)])
def test_frames_between_join_on(session, before, between, after):
    one = session()
    clip = one.generate("a person walks forward", 120, seed=5)["positions"]
    after_frames = clip[before + between :][:after] + np.float32([0.3, 0, 0])
    made = one.generate(
        "a person walks forward", before + between + after, before=clip[:before], after=after_frames, seed=6
    )["positions"]
    assert np.array_equal(made[:before], clip[:before])
    assert np.array_equal(made[before + between :], after_frames)
    steps = np.linalg.norm(np.diff(made, axis=0), axis=-1).max(-1)
    allowed = np.linalg.norm(np.diff(clip, axis=0), axis=-1).max() + (0.3 if after and before else 0) / between
    assert steps.max() < 2 * allowed
    turns = np.linalg.norm(np.diff(made, n=2, axis=0), axis=-1).max(-1)
    assert turns.max() < 3 * np.linalg.norm(np.diff(clip, n=2, axis=0), axis=-1).max()


def test_callbacks_and_stream(session, library):
    heard = {"log": [], "progress": [], "done": []}
    callbacks = c.lf_callbacks(
        c.LOG(lambda level, text, user: heard["log"].append(text.decode())),
        c.PROGRESS(lambda request, share, user: heard["progress"].append(share)),
        c.DONE(lambda request, status, user: heard["done"].append(status)),
        None,
    )
    one = session(callbacks=callbacks, root_mode=1)
    assert len(heard["log"]) == 1 and "lamp_fast" in heard["log"][0]
    stream = c.pointer()
    library.check("lf_stream_create", one.handle, None, byref(stream))
    for number, prompt in enumerate(("a person walks forward", "a person walks forward", "a person jumps")):
        library.check("lf_stream_append", stream, byref(one.request(prompt, 40, seed=number)), None)
    info, deadline = c.sized(c.lf_stream_info), time.monotonic() + 60
    while info.frames_committed < 120 and time.monotonic() < deadline:
        library.c.lf_stream_get_info(stream, byref(info))
        time.sleep(0.01)
    assert info.frames_committed == 120 and heard["done"] == [0, 0, 0]
    assert heard["progress"] and all(0 <= share <= 1 for share in heard["progress"])

    positions = np.zeros((one.num_joints, 3), np.float32)
    pose = c.sized(c.lf_pose, positions=positions.ctypes.data)
    root, heading, tracks = np.zeros(3), 0.0, []
    for tick in range(int(119 / 20 * 60)):
        assert library.c.lf_stream_sample(stream, tick / 60, byref(pose)) == 0
        step = np.array(pose.root_step)
        root += [
            np.cos(heading) * step[0] + np.sin(heading) * step[2],
            0,
            np.cos(heading) * step[2] - np.sin(heading) * step[0],
        ]
        heading += pose.root_turn
        np.testing.assert_allclose(root, np.array(pose.root_position), atol=1e-3)
        tracks.append(positions.copy())
    tracks = np.array(tracks)
    assert np.abs(np.diff(tracks, axis=0)).max() * 60 < 15  # metres a second
    assert np.linalg.norm(root) > 0.5


def test_sentences(session, library):
    with pytest.raises(RuntimeError, match="UTF-8"):
        session().numbers("lf_encode_prompt", 4096, b"\xff\xfe")
    with pytest.raises(RuntimeError, match="at most 196"):
        session().generate(PROMPT, 197)
    with pytest.raises(RuntimeError, match="no word|unknown|know"):
        session().generate("☃", 20)
