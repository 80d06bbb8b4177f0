"""Shared fixtures of the test runner's tests: users and environments, workers without root or in a container."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.contrib.auth.models import Group, User

from testrunner.files.snapshot import Snapshot
from testrunner.models import TestEnvironment
from testrunner.sandbox.isolation import MODES, exclusive_user
from testrunner.tests.workers import OWN_USER, POWERS, PROJECT, become


@pytest.fixture
def colleague(db) -> User:
    """A second tester."""
    user = User.objects.create_user("cole", password="correct horse", is_staff=True)
    user.groups.set(Group.objects.filter(name="testing"))
    return user


@pytest.fixture
def environment(db) -> TestEnvironment:
    return TestEnvironment.objects.get(pk=17)


@pytest.fixture
def file() -> Snapshot:
    return Snapshot("samples", "test_success.py", b"def test_ok():\n    assert True\n")


@pytest.fixture(autouse=True)
def _no_wake_ups(request, monkeypatch):
    """Suppress wake-ups, because no worker listens in these tests. Tests that start real processes are
    marked `chaos`.
    """
    if not request.node.get_closest_marker("chaos"):
        monkeypatch.setattr("core.wake._send", lambda task, args, options: None)


@pytest.fixture
def unprivileged(tmp_path):
    """Run a worker that is not root; return its output, one dict per line."""
    root = tmp_path / "runs"

    def run(mode: str, *files: Path, seconds: int = 60) -> list[dict]:
        root.mkdir(exist_ok=True)
        worker = [
            sys.executable,
            "-B",
            "-m",
            "testrunner.tests.worker",
            str(root),
            mode,
            str(seconds),
            *map(str, files),
        ]
        environment = {"PYTHONPATH": str(PROJECT), "WORKER_SECRET": "hunter2", "TMPDIR": str(root)}
        if os.geteuid() != 0:
            said = subprocess.check_output(worker, cwd=PROJECT, env=environment)
            return [json.loads(line) for line in said.splitlines()]
        with exclusive_user(MODES[int(OWN_USER)]) as user:
            os.chown(root, user, user)
            return become(user, [], worker, [sys.prefix, sys.base_prefix, str(PROJECT), str(root)], environment)

    return run


@pytest.fixture
def container(tmp_path):
    """Run a worker that is root with a container's capabilities; return its output, one dict per line."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    service = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["testrunner-worker"]
    root = tmp_path / "runs"

    def run(*files: Path, seconds: int = 60) -> list[dict]:
        root.mkdir(exist_ok=True)
        worker = [sys.executable, "-m", "testrunner.tests.worker", str(root), OWN_USER, str(seconds), *map(str, files)]
        environment = {"PYTHONPATH": str(PROJECT), "WORKER_SECRET": "hunter2", "TMPDIR": str(root)}
        powers = [POWERS.index(power) for power in service["cap_add"]]
        return become(0, powers, worker, [sys.prefix, sys.base_prefix, str(PROJECT), str(root)], environment)

    return run


@pytest.fixture
def bystander():
    """A process of the worker's user with a secret in its environment, like a container's first process."""
    process = subprocess.Popen(["sleep", "100"], env={**os.environ, "BYSTANDER_SECRET": "hunter3"})
    yield
    process.kill()
    process.wait()
