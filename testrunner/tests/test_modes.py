"""The weaker walls hold what they promise, for a worker that is not root.

As root, that worker runs inside the strongest walls, as a user of its own: what "limits only" lets through stays there.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from testrunner.guard import Guard, make_directory, plan, probe
from testrunner.sandbox import GIB, Limits, python, user_for_a_run
from testrunner.tests.running import CORPUS, SAMPLES

PROJECT = Path(__file__).parents[2]
ROOMY = Limits(processes=400, memory_bytes=8 * GIB, disk_bytes=GIB, files=500_000, open_files=4096)
USER_NAMESPACE, PLAIN = "1", "3"


@pytest.fixture
def unprivileged(tmp_path):
    """Run a worker that is not root; return all that it said."""

    def run(mode: str, *files: Path, seconds: int = 60) -> list[dict]:
        program = (
            "import pathlib, runpy, sys, tempfile; sys.path.insert(0, sys.argv.pop(1));"
            "sys.argv.insert(1, tempfile.mkdtemp());"
            "runpy.run_module('testrunner.tests.worker', run_name='__main__')"
        )
        command = [python(), "-B", "-c", program, str(PROJECT), mode, str(seconds), *map(str, files)]
        output = _as_nobody(tmp_path, command) if os.geteuid() == 0 else subprocess.check_output(command)
        return [json.loads(line) for line in output.splitlines()]

    return run


def _as_nobody(tmp_path: Path, command: list[str]) -> bytes:
    walls = probe(tmp_path)
    if not walls.namespaces:
        pytest.skip("needs root with namespaces, or a user that is not root")
    with user_for_a_run(walls) as user, open(tmp_path / "output", "w+b") as output:
        directory = make_directory(tmp_path, "nested", walls, user)
        environment = {"TMPDIR": f"{directory}/tmp", "HOME": f"{directory}/home", "WORKER_SECRET": "hunter2"}
        what = plan(
            walls,
            user=user,
            directory=directory,
            command=command,
            environment=environment,
            limits=ROOMY,
            kept=[PROJECT],
        )
        guard = Guard(what, output=output.fileno(), descriptors=[])
        try:
            guard.control.settimeout(100)
            while guard.listen():
                pass
        finally:
            guard.close()
        output.seek(0)
        said = output.read()
        assert guard.messages.get("exit") == 0, (guard.messages, said[-3000:])
        return said


@pytest.mark.chaos  # the same corpus as in test_hostile.py, behind weaker walls
@pytest.mark.parametrize("mode", [USER_NAMESPACE, PLAIN])
@pytest.mark.parametrize(
    ("file", "outcome"),
    [
        (SAMPLES / "test_success.py", "success"),
        (CORPUS / "daemon.py", "success"),
        (CORPUS / "kills_its_parent.py", None),
        (CORPUS / "ignores_signals.py", "timed_out"),
        (CORPUS / "fork_bomb.py", "timed_out"),
        (CORPUS / "stops_its_parent.py", "timed_out"),
        (CORPUS / "threads_without_end.py", "failed"),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else None,
)
def test_it_ends_as_stated_in_weaker_walls(unprivileged, mode, file, outcome):
    said = unprivileged(mode, file, seconds=4 if outcome == "timed_out" else 60)

    if outcome is None:  # whoever can kill its guard gets an error for it
        outcome = "success" if mode == USER_NAMESPACE else "error"
    assert said[-1]["outcome"] == outcome, said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.mark.parametrize("mode", [USER_NAMESPACE, PLAIN])
def test_the_workers_environment_is_not_readable_for_its_own_user(unprivileged, mode):
    said = unprivileged(mode, CORPUS / "reads_environments.py")

    assert said[-1]["outcome"] == "success"
    assert "hunter2" not in json.dumps(said)


def test_a_full_disk_is_the_tests_problem_with_a_bounded_file_system(unprivileged):
    said = unprivileged(USER_NAMESPACE, CORPUS / "disk_filler.py")

    assert said[-1]["outcome"] == "failed"


@pytest.mark.parametrize("file", ["disk_filler", "many_files"])
def test_without_one_the_worker_stops_whoever_writes_too_much(unprivileged, file):
    said = unprivileged(PLAIN, CORPUS / f"{file}.py")

    assert said[-1]["outcome"] == "error"
    assert said[-1]["reason"] == "More than 64 MiB or 50,000 files were written."
    assert said[-1]["left"] == said[-1]["alive"] == []
