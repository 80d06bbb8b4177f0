"""The weaker isolation modes keep their promises: for a worker that is not root, and for root in a container.

If the tests run as root, the first worker runs inside the strongest mode, as a user of its own, so that anything the
plain mode permits stays inside. The second worker has only the capabilities that docker-compose.yml grants.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from testrunner.sandbox.disk_usage import uses_more_than
from testrunner.sandbox.isolation import MODES, RunLimits, exclusive_user, users_alive
from testrunner.sandbox.linux.leftovers import remove_directory
from testrunner.sandbox.supervisor_client import kill_everything_of
from testrunner.tests.running import CORPUS, SAMPLES
from testrunner.tests.workers import OWN_USER, PLAIN, USER_NAMESPACE

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("file", [SAMPLES / "test_success.py", CORPUS / "daemon.py", CORPUS / "deep_directories.py"])
def test_in_a_container_each_run_has_a_user_of_its_own(container, file):
    said = container(file)

    assert said[-1]["outcome"] == "success", said
    assert said[-1]["left"] == said[-1]["alive"] == []


def test_in_a_container_no_test_reads_what_the_container_was_told(container, bystander):
    said = json.dumps(container(CORPUS / "reads_environments.py"))

    assert '"outcome": "success"' in said and "environ" in said
    assert "hunter2" not in said and "hunter3" not in said
    assert os.environ["SECRET_KEY"] not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_is_no_runs_while_anybody_of_it_is_alive_and_is_not_left_alive():
    with exclusive_user(MODES[int(OWN_USER)]) as user:
        orphan = subprocess.Popen(["/bin/sleep", "100"], user=user, group=user, extra_groups=[])
        assert user in users_alive()

        kill_everything_of(user)

        assert orphan.wait(5) == -9
        assert user not in users_alive()


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("kills_its_parent", "success"),
        ("ignores_signals", "timed_out"),
        ("fork_bomb", "timed_out"),
        ("stops_its_parent", "timed_out"),
        ("threads_without_end", "failed"),
        ("disk_filler", "error"),
        ("many_files", "error"),
    ],
)
def test_in_a_container_it_ends_as_stated(container, name, outcome):
    said = container(CORPUS / f"{name}.py", seconds=4 if outcome == "timed_out" else 60)

    assert said[-1]["outcome"] == outcome, said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.mark.chaos  # the same corpus as in test_hostile.py, in weaker modes
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
def test_it_ends_as_stated_in_weaker_modes(unprivileged, mode, file, outcome):
    said = unprivileged(mode, file, seconds=4 if outcome == "timed_out" else 60)

    if outcome is None:  # a file that can kill its supervisor ends as an error
        outcome = "success" if mode == USER_NAMESPACE else "error"
    assert said[-1]["outcome"] == outcome, said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.mark.parametrize("mode", [USER_NAMESPACE, PLAIN])
def test_a_test_may_spawn_processes_in_weaker_modes(unprivileged, mode):
    said = unprivileged(mode, CORPUS / "spawns_processes.py")

    assert said[-1]["outcome"] == "success", said
    assert said[-1]["left"] == said[-1]["alive"] == []


def test_a_test_may_spawn_processes_in_a_container(container):
    said = container(CORPUS / "spawns_processes.py")

    assert said[-1]["outcome"] == "success", said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.mark.parametrize("mode", [USER_NAMESPACE, PLAIN])
def test_the_workers_environment_is_not_readable_for_its_own_user(unprivileged, mode):
    said = unprivileged(mode, CORPUS / "reads_environments.py")

    assert said[-1]["outcome"] == "success"
    assert "hunter2" not in json.dumps(said)


def test_a_full_disk_is_the_tests_problem_with_a_bounded_file_system(unprivileged):
    said = unprivileged(USER_NAMESPACE, CORPUS / "disk_filler.py")

    assert said[-1]["outcome"] == "failed"


def test_no_directory_is_too_deep_to_be_removed(unprivileged):
    said = unprivileged(PLAIN, CORPUS / "deep_directories.py")

    assert said[-1]["outcome"] == "success", said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.fixture
def deep(tmp_path):
    """A directory nested deeper than any path reaches, with links that lead outside."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    here, top = os.open(".", os.O_RDONLY), tmp_path / "run"
    top.mkdir()
    os.chdir(top)
    for _ in range(3_000):
        os.symlink(tmp_path / "outside", "link")
        os.mkdir("moved-1")
        os.chdir("moved-1")
    os.fchdir(here)
    os.close(here)
    yield top
    remove_directory(str(top))


def test_a_directory_deeper_than_a_path_is_removed_and_no_link_followed(deep, tmp_path):
    remove_directory(str(deep))

    assert not deep.exists()
    assert (tmp_path / "outside" / "kept").exists()


def test_a_directory_too_deep_to_be_measured_is_too_much(deep):
    assert uses_more_than([str(deep)], RunLimits())


@pytest.mark.parametrize("file", ["disk_filler", "many_files"])
def test_without_one_the_worker_stops_whoever_writes_too_much(unprivileged, file):
    said = unprivileged(PLAIN, CORPUS / f"{file}.py")

    assert said[-1]["outcome"] == "error"
    assert said[-1]["reason"] == "More than 64 MiB or 50,000 files were written, or too deep to measure."
    assert said[-1]["left"] == said[-1]["alive"] == []
