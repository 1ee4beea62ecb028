"""Acclaim skeletons and takes: a small skeleton computed by hand, and damaged files."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamp_fast import LampError
from lamp_fast.readers.acclaim import find_asf, open_amc

ASF = """# a comment
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name upper
     direction 0 1 0
     length 2
     axis 0 0 90 XYZ
     dof rx
  end
  begin
     id 2
     name lower
     direction 1 0 0
     length 1
     axis 0 0 0 XYZ
     dof rx ry rz
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""
AMC = """:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
upper 0
lower 0 0 0
2
root 0 0 0 0 90 0
upper 90
lower 0 0 90
"""


@pytest.fixture
def take(tmp_path):
    """`take(asf=, amc=) -> path` writes a skeleton and a take."""

    def write(asf=ASF, amc=AMC):
        (tmp_path / "05.asf").write_text(asf)
        (tmp_path / "05_10.amc").write_text(amc)
        return tmp_path / "05_10.amc"

    return write


def positions(path):
    take = open_amc(path)
    return np.concatenate([*take.positions(range(len(take.bones)))])


def test_positions(take):
    first, second = positions(take())
    np.testing.assert_allclose(first, [[1, 2, 3], [1, 4, 3], [2, 4, 3]], atol=1e-12)
    # The root looks along +X. The upper bone turns about its own X, which its axis laid along the root's +Y, its own
    # direction: it stays, and what hangs on it turns by 90 degrees about it. The lower bone turns from +X to +Y.
    np.testing.assert_allclose(second, [[0, 0, 0], [0, 2, 0], [0, 3, 0]], atol=1e-12)


def test_radians(take):
    amc = AMC.replace("DEGREES", "RADIANS").replace("90", repr(math.pi / 2))
    np.testing.assert_allclose(positions(take(amc=amc)), positions(take()), atol=1e-12)


@pytest.mark.parametrize("length, unit", [("0.45", 0.0254 / 0.45), ("2.54", 0.01), ("0", None)])
def test_unit_of_length(take, length, unit):
    assert open_amc(take(asf=ASF.replace("length 0.45", f"length {length}"))).unit == (unit and pytest.approx(unit))


def test_which_skeleton(tmp_path):
    take = tmp_path / "subject_05_10.amc"
    take.touch()
    assert find_asf(take) is None
    (tmp_path / "only.asf").touch()
    assert find_asf(take).name == "only.asf"
    for name in ("subject.asf", "subject_05.ASF", "subject_05_10.asf"):
        (tmp_path / name).touch()
        assert find_asf(take).name == name


DAMAGES = {
    "empty skeleton": (lambda asf, amc: ("", amc), "no order of channels"),
    "no bones": (lambda asf, amc: (asf[: asf.index(":bonedata")], amc), "describes no bones"),
    "a loop": (lambda asf, amc: (asf.replace("root upper", "lower upper"), amc), "has a loop"),
    "two parents": (lambda asf, amc: (asf.replace("upper lower", "upper lower\nroot lower"), amc), "in two places"),
    "unknown bone": (lambda asf, amc: (asf.replace("root upper", "root upper tail"), amc), "'tail' in its hierarchy"),
    "bone twice": (lambda asf, amc: (asf.replace("name lower", "name upper"), amc), "twice"),
    "no length": (lambda asf, amc: (asf.replace("length 2", ""), amc), "without name, direction or length"),
    "NaN length": (lambda asf, amc: (asf.replace("length 2", "length nan"), amc), "finite"),
    "bad axis": (lambda asf, amc: (asf.replace("axis 0 0 90 XYZ", "axis 0 0 90 XXZ"), amc), "'XXZ'"),
    "short axis": (lambda asf, amc: (asf.replace("axis 0 0 90 XYZ", "axis 90 XYZ"), amc), "axis of upper, has 1 n"),
    "bad freedom": (lambda asf, amc: (asf.replace("dof rx\n", "dof rw\n"), amc), "expected rx, ry, rz"),
    "empty take": (lambda asf, amc: (asf, ""), "holds no frames"),
    "no frames": (lambda asf, amc: (asf, ":DEGREES\n"), "holds no frames"),
    "no number": (lambda asf, amc: (asf, amc.replace("1\nroot", "root", 1)), "before its first frame"),
    "frame cut": (lambda asf, amc: (asf, amc[: amc.rindex("lower")]), "frame 2, lacks 'lower'"),
    "line cut": (lambda asf, amc: (asf, amc[: amc.rindex(" ")]), "lower has 2 numbers, expected 3"),
    "another skeleton": (lambda asf, amc: (asf, amc.replace("upper", "tail")), "'tail', which the skeleton lacks"),
    "NaN": (lambda asf, amc: (asf, amc.replace("root 1", "root nan")), "finite number"),
    "bone twice in a frame": (lambda asf, amc: (asf, amc + "lower 0 0 0\n"), "twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_get_a_sentence(name, take):
    damage, message = DAMAGES[name]
    with pytest.raises(LampError, match=message) as raised:
        positions(take(*damage(ASF, AMC)))
    assert "\n" not in str(raised.value)


def test_a_take_without_skeleton(tmp_path):
    (tmp_path / "take.amc").write_text(AMC)
    with pytest.raises(LampError, match="needs its skeleton"):
        open_amc(tmp_path / "take.amc")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), cut=st.integers(0, 40), new=st.text("0159. -nae:XYZ\n", max_size=8))
def test_random_damage_is_read_or_refused(place, cut, new, take):
    start = int(place * len(ASF + AMC))
    text = (ASF + "@" + AMC)[:start] + new + (ASF + "@" + AMC)[start + cut :]
    asf, _, amc = text.partition("@")
    try:
        assert np.isfinite(positions(take(asf, amc))).all()
    except LampError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("line", "fps"), [("", 120), (":SAMPLES-PER-SECOND 60\n", 60), (":samples-per-second 119.88\n", 119.88)]
)
def test_the_rate_that_a_take_tells(line, fps, take):
    assert open_amc(take(ASF, line + AMC)).fps == pytest.approx(fps)


def test_a_rate_of_nothing(take):
    with pytest.raises(LampError, match="samples a second"):
        open_amc(take(ASF, ":SAMPLES-PER-SECOND 0\n" + AMC))
