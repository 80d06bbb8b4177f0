"""Choice of the isolation mode: an unknown result never leads to a weaker mode."""

import contextlib
import errno

import pytest

from config.tests.test_safety import refusal
from testrunner.sandbox import isolation, isolation_check
from testrunner.sandbox.isolation import MODES, PLAIN
from testrunner.sandbox.isolation_check import IsolationUnavailable, UnclearTrial, probe, try_mode
from testrunner.sandbox.results.outcome import Outcome
from testrunner.tests.running import run

TEST = ("test_it.py", "def test_it():\n    pass\n")


@pytest.fixture
def refused(monkeypatch):
    """Let the kernel refuse these modes; the others are tried."""

    def refuse(*names: str) -> None:
        real, no = isolation_check.try_mode, "PermissionError: unshare: EPERM"
        monkeypatch.setattr(
            isolation_check, "try_mode", lambda mode, root: no if mode.name in names else real(mode, root)
        )

    return refuse


def test_a_trial_that_does_not_end_in_time_is_unknown_and_is_tried_again(tmp_path, monkeypatch):
    strongest = probe(tmp_path / "other")
    if strongest == PLAIN:
        pytest.skip("nothing is tried before the weakest mode")
    monkeypatch.setattr(isolation_check, "TRIAL_SECONDS", 0.001)

    ran = run(tmp_path, TEST)
    assert ran.finished.outcome == Outcome.ERROR
    assert "It could not be determined whether this machine allows the isolation" in ran.finished.reason
    assert ran.pids == []

    monkeypatch.setattr(isolation_check, "TRIAL_SECONDS", 60)
    assert probe(tmp_path) == strongest
    assert run(tmp_path, TEST).finished.sandbox.startswith(strongest.description)


def test_a_root_without_free_users_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "USERS", range(0))
    monkeypatch.setattr(isolation_check.os, "geteuid", lambda: 0)

    with pytest.raises(UnclearTrial):
        try_mode(MODES[0], tmp_path)
    with pytest.raises(IsolationUnavailable, match="All users for runs are taken"):
        probe(tmp_path)


def test_what_the_kernel_refuses_is_remembered_and_the_next_mode_is_used(tmp_path, refused):
    refused("namespaces", "user-namespace", "user")

    assert probe(tmp_path) == probe(tmp_path) == PLAIN
    assert isolation_check._refusals[str(tmp_path), MODES[0]]


@pytest.mark.parametrize("least", MODES[:-1], ids=lambda mode: mode.name)
def test_a_run_is_not_started_in_a_weaker_mode_than_the_minimum(tmp_path, refused, least):
    refused("namespaces", "user-namespace", "user")

    ran = run(tmp_path, TEST, min_mode=least)

    assert ran.finished.outcome == Outcome.ERROR
    assert ran.finished.reason == (
        f"This machine does not allow the isolation {least.name!r}, the least that TESTRUN_MIN_ISOLATION accepts:"
        " PermissionError: unshare: EPERM."
    )
    assert ran.pids == []
    assert run(tmp_path, TEST, min_mode=PLAIN).finished.outcome == Outcome.SUCCESS


@pytest.mark.parametrize(
    ("number", "limits", "is_refusal"),
    [
        (errno.EPERM, "1", True),
        (errno.ENOSYS, "1", True),
        (errno.ENOSPC, "0", True),
        (errno.ENOSPC, "1", False),
        (errno.ENOMEM, "1", False),
        (errno.EAGAIN, "1", False),
        (None, "1", False),
    ],
)
def test_only_what_lasts_is_a_refusal(tmp_path, monkeypatch, number, limits, is_refusal):
    limit = tmp_path / "max_user_namespaces"
    limit.write_text(limits)
    monkeypatch.setattr(isolation_check, "NO_NAMESPACES", (str(limit),))

    class SupervisorClient:
        messages = {"failed": "OSError: unshare", "errno": number}

    with contextlib.nullcontext() if is_refusal else pytest.raises(UnclearTrial):
        assert isolation_check._refusal(SupervisorClient()) == "OSError: unshare"


@pytest.mark.parametrize("name", [mode.name for mode in MODES])
def test_every_mode_can_be_the_least_accepted_one(name):
    assert isolation.mode_named(name).name == name
    assert refusal(TESTRUN_MIN_ISOLATION=name) == ""


def test_another_word_for_the_least_isolation_stops_the_start():
    assert "TESTRUN_MIN_ISOLATION must be" in refusal(TESTRUN_MIN_ISOLATION="none")
