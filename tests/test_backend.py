"""The backend report and the three ways to choose."""

import logging

import pytest

from lamp_fast import LampError, backend
from lamp_fast.backend import Availability, Backend, available, current_backend, use_backend


@pytest.fixture
def probes(monkeypatch):
    """`probes(triton=True)`: a process where only the named backends and eager work."""

    def pretend(**works):
        report = {name: Availability(works.get(name, name == "eager"), f"{name} was probed") for name in Backend}
        monkeypatch.setattr(backend, "available", lambda: report)
        backend._process_choice.cache_clear()

    yield pretend
    backend._process_choice.cache_clear()


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.delenv("LAMP_FAST_BACKEND", raising=False)
    return monkeypatch


def test_every_backend_is_reported_with_a_reason():
    report = available()
    assert set(report) == set(Backend)
    assert report[Backend.EAGER].works
    assert all(status.reason for status in report.values())


@pytest.mark.parametrize("works, expected", [({}, "eager"), ({"native": True}, "eager"), ({"triton": True}, "triton")])
def test_auto(probes, environment, works, expected):
    probes(**works)
    assert current_backend() == expected


def test_the_environment_chooses_and_the_choice_is_logged_once(probes, environment, caplog):
    probes(native=True)
    environment.setenv("LAMP_FAST_BACKEND", "native")
    with caplog.at_level(logging.INFO, "lamp_fast"):
        assert current_backend() is Backend.NATIVE
        assert current_backend() is Backend.NATIVE
    assert [record.getMessage() for record in caplog.records] == ["backend native: LAMP_FAST_BACKEND asks for it"]


def test_blocks_nest_and_restore(probes, environment):
    probes(native=True, triton=True)
    with use_backend("native"):
        with use_backend(Backend.EAGER):
            assert current_backend() is Backend.EAGER
        assert current_backend() is Backend.NATIVE
    assert current_backend() is Backend.TRITON


def test_a_block_restores_after_an_error(probes, environment):
    probes()
    with pytest.raises(RuntimeError), use_backend("eager"):
        raise RuntimeError
    assert backend._block_choice.get() is None


@pytest.mark.parametrize("name, words", [("cuda", "there are eager, triton, native"), ("triton", "triton was probed")])
def test_what_does_not_work_is_refused(probes, environment, name, words):
    probes()
    with pytest.raises(LampError, match=f"use_backend: .*{words}"), use_backend(name):
        pass
    environment.setenv("LAMP_FAST_BACKEND", name)
    with pytest.raises(LampError, match=f"LAMP_FAST_BACKEND: .*{words}"):
        current_backend()
