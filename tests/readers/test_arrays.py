"""NumPy files: what is a motion, and what is refused before it can do harm."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamp_fast import LampError
from lamp_fast.export import save
from lamp_fast.motion.features import canonical_joints, joints_to_features
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import arrays, read_motion


@pytest.fixture
def joints(figure):
    return figure.expected().astype(np.float32)


def test_joints_in_every_layout(joints, tmp_path):
    np.savez(tmp_path / "one.npz", walk=joints)
    np.savez(tmp_path / "slow.npz", joints=joints, fps=10.0)
    np.savez(tmp_path / "many.npz", a=np.zeros((3, 22, 3)), b=(joints * 1000).round().astype(np.int16))
    np.save(tmp_path / "joints.npy", np.pad(joints, ((0, 0), (0, 2), (0, 0))))
    assert read_motion(tmp_path / "one.npz").name == "walk"
    np.testing.assert_array_equal(read_motion(tmp_path / "one.npz").joints, joints)
    np.testing.assert_array_equal(read_motion(tmp_path / "joints.npy").joints, joints)
    np.testing.assert_array_equal(read_motion(tmp_path / "slow.npz").joints[::2], joints)
    np.testing.assert_array_equal(read_motion(tmp_path / "slow.npz", fps=20).joints, joints)
    np.testing.assert_allclose(read_motion(tmp_path / "many.npz", clip="b").joints, joints, atol=1e-3)
    with pytest.raises(LampError, match=r"holds 2 motions; name one \(clip=\), for example a, b"):
        read_motion(tmp_path / "many.npz")
    with pytest.raises(LampError, match="no array 'c'"):
        read_motion(tmp_path / "many.npz", clip="c")


def test_what_is_exported_is_read_again(joints, tmp_path):
    np.save(tmp_path / "walk.npy", joints)
    motion = read_motion(tmp_path / "walk.npy")
    save(motion, tmp_path / "walk.npz")
    np.testing.assert_array_equal(read_motion(tmp_path / "walk.npz").joints, joints)
    save(motion, tmp_path / "unity.npz", coordinates="unity")
    with pytest.raises(LampError, match="coordinates of unity"):
        read_motion(tmp_path / "unity.npz")
    np.save(tmp_path / "features.npy", joints_to_features(joints, HUMANML3D))
    again = read_motion(tmp_path / "features.npy").joints
    np.testing.assert_allclose(again, canonical_joints(joints, HUMANML3D)[:-1], atol=1e-3)


def with_header(shape, dtype="<f4", data=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("joints.npy", with_header((100_000, 22, 3)) + bytes(100_000 * 264))


def member(path, data, name="joints.npy"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)


FILES = {
    "empty": (lambda p: p.write_bytes(b""), "expected an .npz file"),
    "no zip": (lambda p: p.write_bytes(b"PK" + bytes(99)), "expected an .npz file"),
    "a bomb": (bomb, "more than 16 MiB"),
    "a lying header": (lambda p: member(p, with_header((10**4, 22, 3))), "announces 2640000 bytes and holds 128"),
    "a giant header": (lambda p: member(p, with_header((10**15, 22, 3))), "more than 16 MiB"),
    "a negative shape": (lambda p: member(p, with_header((-4, 22, 3))), "shape|damaged"),
    "objects": (lambda p: np.savez(p, joints=np.array([{}], object)), "only nothing"),
    "no array": (lambda p: member(p, b"not an array"), "damaged"),
    "no motion": (lambda p: np.savez(p, a=np.zeros((3, 21, 3)), fps=1), r"no joints of shape .*, only a, fps"),
    "no frames": (lambda p: np.savez(p, joints=np.zeros((0, 22, 3))), r"shape \(0, 22, 3\)"),
    "text": (lambda p: np.savez(p, joints=np.full((1, 22, 3), "a")), "expected numbers"),
    "NaN": (lambda p: np.savez(p, joints=np.full((5, 22, 3), np.nan)), "NaN"),
    "no rate": (lambda p: np.savez(p, joints=np.zeros((5, 22, 3)), fps=0), "fps"),
    "a rate in words": (lambda p: np.savez(p, joints=np.zeros((5, 22, 3)), fps="fast"), "fps"),
    "AMASS": (lambda p: np.savez(p, poses=np.zeros((5, 156)), trans=np.zeros((5, 3))), "body model"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_motion_gets_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_BYTES", 1 << 24)
    write, message = FILES[name]
    write(tmp_path / "file.npz")
    with pytest.raises(LampError, match=message) as raised:
        read_motion(tmp_path / "file.npz")
    assert "\n" not in str(raised.value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".npz", ".npy"]), place=st.floats(0, 1), cut=st.integers(0, 60), new=st.binary(max_size=9)
)
def test_random_damage_is_read_or_refused(suffix, place, cut, new, tmp_path):
    path = tmp_path / f"damaged{suffix}"
    (np.save if suffix == ".npy" else np.savez_compressed)(path, np.ones((4, 22, 3), np.float32))
    data = path.read_bytes()
    start = int(place * len(data))
    path.write_bytes(data[:start] + new + data[start + cut :])
    try:
        assert np.isfinite(read_motion(path).joints).all()
    except LampError as error:
        assert "\n" not in str(error)
