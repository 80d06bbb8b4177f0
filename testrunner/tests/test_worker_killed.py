"""Processes of a run do not outlive its worker, and do not learn its secrets."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testrunner.sandbox.supervisor_process import KILL_DELAY
from testrunner.tests.running import CORPUS, SAMPLES, processes_of

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def worker(tmp_path):
    """Start a worker in a process of its own."""
    started = []

    def start(mode: str, *files: Path, lease: str = "", renews: str = "") -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "testrunner.tests.worker", str(tmp_path), mode, "60", *map(str, files)],
            cwd=PROJECT,
            env={**os.environ, "WORKER_SECRET": "hunter2", "WORKER_LEASE": lease, "WORKER_RENEWS": renews},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def until(process: subprocess.Popen, words: str) -> None:
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return
    raise AssertionError(f"{words!r} never came: {seen}")


def eventually(true, seconds: float = 15) -> bool:
    until_then = time.monotonic() + seconds
    while not true() and time.monotonic() < until_then:
        time.sleep(0.05)
    return bool(true())


@pytest.mark.parametrize("file", [SAMPLES / "test_slow.py", CORPUS / "ignores_signals.py", CORPUS / "fork_bomb.py"])
def test_nobody_outlives_a_worker_killed_with_9(worker, tmp_path, file):
    process = worker("best", file)
    until(process, "::test_")
    assert processes_of(f"run-{tmp_path.name}") != []

    os.kill(process.pid, signal.SIGKILL)

    assert eventually(lambda: processes_of(f"run-{tmp_path.name}") == [])
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


def test_nobody_outlives_a_supervisor_killed_with_9(worker, tmp_path):
    process = worker("best", SAMPLES / "test_slow.py")
    supervisor = json.loads(process.stdout.readline())["started"]
    until(process, "::test_")

    os.kill(supervisor, signal.SIGKILL)

    until(process, '"outcome": "error"')
    assert eventually(lambda: processes_of(f"run-{tmp_path.name}") == [])
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


@pytest.mark.thorough
def test_a_run_whose_lease_is_renewed_outlives_its_first_lease(worker):
    process = worker("best", SAMPLES / "test_slow.py", lease="1.5", renews="1")

    until(process, '"outcome": "success"')


@pytest.mark.thorough
def test_a_run_whose_lease_is_never_renewed_ends_with_it(worker):
    process = worker("best", SAMPLES / "test_slow.py", lease="1.5")

    until(process, '"outcome": "error"')


@pytest.mark.thorough
@pytest.mark.parametrize("stopped", [["worker"], ["supervisor"], ["worker", "supervisor"]], ids=" and ".join)
def test_a_run_ends_with_its_lease_if_its_processes_are_stopped(worker, tmp_path, stopped):
    process = worker("best", SAMPLES / "test_slow.py", lease="3")
    pids = {"worker": process.pid, "supervisor": json.loads(process.stdout.readline())["started"]}
    until(process, "::test_")

    for name in stopped:
        os.kill(pids[name], signal.SIGSTOP)

    assert eventually(lambda: processes_of(f"run-{tmp_path.name}") == [], 3 + KILL_DELAY + 2)
    os.kill(process.pid, signal.SIGCONT)
    until(process, '"outcome": "error"')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
def test_a_run_ends_though_its_worker_is_killed_and_its_supervisor_stopped(worker, tmp_path):
    process = worker("best", SAMPLES / "test_slow.py", lease="3")
    supervisor = json.loads(process.stdout.readline())["started"]
    until(process, "::test_")

    os.kill(supervisor, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGKILL)

    assert eventually(lambda: processes_of(f"run-{tmp_path.name}") == [], 3 + KILL_DELAY + 2)


def test_a_test_cannot_read_its_workers_environment(worker):
    process = worker("best", CORPUS / "reads_environments.py")

    output = process.communicate()[0]

    assert "environ" in output
    assert '"outcome": "success"' in output
    assert "hunter2" not in output
    assert os.environ["SECRET_KEY"] not in output
