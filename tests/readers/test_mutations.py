"""Every raw sample, and files of ours, mutated again and again: read, or refused in a sentence, in bounded time.

LAMP_FAST_MUTATIONS is how many of each file; by default few, so that the tests stay quick.
"""

import os
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.motion.clip import Clip
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers.clip import read_clip

MUTATIONS = int(os.environ.get("LAMP_FAST_MUTATIONS", "5"))
FRAMES = 12  # of a raw take, so that its header is what most mutations meet
SECONDS = 20.0  # of the processor, for one file: a machine that is busy with others takes longer
GIGABYTE = 1 << 30
RAW = (
    "bn_1_bow_active_001 bn_2_raise-up-both-hands_active_044 bn_2_raise-up-both-hands_masculine_014 "
    "bn_2_raise-up-left-hand_active_037 bn_2_raise-up-left-hand_feminine_061 bn_2_raise-up-right-hand_active_018 "
    "bn_2_raise-up-right-hand_feminine_043 bn_2_raise-up-right-hand_youthful_053 bn_2_run_normal_009 "
    "bn_2_walk-turn-left_feminine_011 bn_2_walk-turn-right_feminine_031 bn_2_walk_normal_013 "
    "bn_2_wave-both-hands_normal_015 bn_2_wave-left-hand_normal_017 cmu_005_10 cmu_006_04 cmu_007_03 cmu_008_07 "
    "cmu_010_04 cmu_012_01 cmu_013_19 cmu_016_14 cmu_016_36 cmu_016_58 cmu_035_06 cmu_035_21 cmu_035_29 cmu_118_03 "
    "cmu_118_17 cmu_127_30"
).split()
NASTY = [
    b"nan", b"-inf", b"1e400", b"1e38", b"-1", b"0", b"99999999999999999999", b"0,5", b"{", b"}", b"\n", b"\0",
    b"End Site", b"MOTION", b"Frames: 1000000000", b"CHANNELS 6", b"JOINT Hips\n{", b":hierarchy\nbegin\n", b"root",
    b"end", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"[" * 2000, b"null", b"-1e308", b" " * 5000,
]  # fmt: skip


def mutated(content: bytes, changes) -> bytes:
    """Each change: where (0 to 1), how much, what to do, and a piece to put there."""
    for where, size, what, piece in changes:
        at = int(where * max(len(content) - 1, 0))
        span = content[at : at + size]
        if what == "cut":
            content = content[:at]
        elif what == "drop":
            content = content[:at] + content[at + size :]
        elif what == "double":
            content = content[:at] + 3 * span + content[at + size :]
        elif what == "flip":
            content = content[:at] + bytes(byte ^ (1 << size % 8) for byte in span) + content[at + size :]
        elif what == "word":  # a whole word, so that numbers stay numbers
            start = max(content.rfind(b" ", 0, at), content.rfind(b"\n", 0, at)) + 1
            ends = [end for end in (content.find(b" ", start), content.find(b"\n", start)) if end >= 0]
            content = content[:start] + piece + content[min(ends, default=len(content)) :]
        else:
            content = content[:at] + piece + content[at:]
    return content


CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(1, 200),
        st.sampled_from(["cut", "drop", "double", "flip", "word", "word", "put"]),
        st.sampled_from(NASTY) | st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def sample(name: str, shared_data, folder: Path) -> tuple[Path, list[Path]]:
    """The file to mutate, and those beside it, in `folder`."""
    if name.startswith("ours"):
        rng = np.random.default_rng(0)
        bones = np.linalg.norm(HUMANML3D.offsets, axis=1)
        joints = np.zeros((FRAMES, 22, 3))
        for parent, joint in HUMANML3D.bones:
            joints[:, joint] = joints[:, parent] + bones[joint] * np.array(HUMANML3D.t_pose[joint])
        joints += rng.normal(size=(FRAMES, 1, 3)) * 0.1 + [0, 0.9, 0]
        clip = Clip(joints, HUMANML3D, 20.0, rng.random((FRAMES, 4)) < 0.5, ["a walk"] * FRAMES, 1)
        file = folder / name
        save(clip, file)
        return file, []
    raw = next((shared_data / "raw").glob(f"{name}.[ab][mv][ch]"))
    lines = raw.read_bytes().splitlines(keepends=True)
    beside = []
    if raw.suffix == ".bvh":
        motion = next(i for i, line in enumerate(lines) if line.startswith(b"Frames:"))
        lines = [*lines[:motion], b"Frames: %d\n" % FRAMES, *lines[motion + 1 : motion + 2 + FRAMES]]
    else:
        heads = [i for i, line in enumerate(lines) if line.strip().isdigit()]
        lines = lines[: heads[FRAMES]]
        skeleton = shared_data / "raw" / f"{name.rpartition('_')[0]}.asf"
        beside = [folder / skeleton.name]
        beside[0].write_bytes(skeleton.read_bytes())
    file = folder / raw.name
    file.write_bytes(b"".join(lines))
    return file, beside


@pytest.mark.parametrize("name", [*RAW, "ours.glb", "ours.bvh", "ours.npz"])
def test_mutations_are_read_or_refused(name, request, tmp_path):
    shared_data = None if name.startswith("ours") else request.getfixturevalue("shared_data")
    file, beside = sample(name, shared_data, tmp_path)
    whole = {path: path.read_bytes() for path in [file, *beside]}
    assert len(read_clip(file)) in (FRAMES, FRAMES - 1)  # the rest pose of CMU's BVH is left out

    @settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHANGES, st.integers(0, len(beside)))
    def mutate(changes, which):
        for path, content in whole.items():
            path.write_bytes(content)
        path = [file, *beside][which]
        path.write_bytes(mutated(whole[path], changes))
        started = time.process_time()
        try:
            clip = read_clip(file)
            assert np.isfinite(clip.joints).all()
        except LampError as error:
            assert len(str(error)) < 1000 and "\n" not in str(error)
        assert time.process_time() - started < SECONDS

    mutate()


def test_bombs(tmp_path):
    """Files of kilobytes that announce or unpack to gigabytes."""
    header = b"\x93NUMPY\x01\x00" + b"v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 22, 3), }"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for frames, zeros in ((20_000_000, 1 << 24), (10**15, 100), (1_000_000, 264_000_000)):
        with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("joints.npy", "w", force_zip64=True) as stream:
                text = header % frames
                stream.write(text + b" " * (128 - len(text) - 1) + b"\n")
                for _ in range(zeros >> 20):
                    stream.write(bytes(1 << 20))
        with pytest.raises(LampError):
            read_clip(tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}.npy", b"")
    with pytest.raises(LampError):
        read_clip(tmp_path / "many.npz")
    (tmp_path / "deep.gltf").write_text('{"asset":' * 100_000)
    (tmp_path / "wide.bvh").write_text("HIERARCHY\nROOT Hips\n{\n" + "JOINT a\n{\nOFFSET 0 0 0\n" * 100_000)
    (tmp_path / "long.amc").write_text("1\nroot " + "0 " * 1_000_000)
    for name in ("deep.gltf", "wide.bvh", "long.amc"):
        with pytest.raises(LampError):
            read_clip(tmp_path / name)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert kilobytes * 1024 < GIGABYTE
