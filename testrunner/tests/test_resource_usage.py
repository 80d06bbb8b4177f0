"""Limits count everything that a run holds, and nothing of it remains afterwards, in each of the four modes."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest

from testrunner.sandbox.isolation import MIB, MODES, RunLimits, _claim_free_user, exclusive_user
from testrunner.sandbox.isolation_check import try_mode
from testrunner.sandbox.linux import cgroup
from testrunner.sandbox.linux.resource_usage import ResourceUsage, system_v, usage_of
from testrunner.sandbox.linux.system_calls import libc
from testrunner.sandbox.linux.usage_monitor import measure_as
from testrunner.sandbox.results.outcome import Outcome
from testrunner.tests.running import CORPUS, SAMPLES, Ran, run
from testrunner.tests.workers import OWN_USER, PLAIN, USER_NAMESPACE

pytestmark = pytest.mark.thorough

LIMITS = RunLimits(wall_seconds=40, grace_seconds=1, disk_bytes=64 * MIB, total_memory_bytes=512 * MIB)
TOO_MUCH_MEMORY = "The run's processes occupied more than 512 MiB of memory together."
DELETED = "The run's deleted files occupied more than 64 MiB."
SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/run", "/dev/mqueue", "/")


@pytest.fixture(params=[mode.name for mode in MODES])
def run_in_mode(request, tmp_path):
    """Run a file of the corpus in one of the modes; return its outcome, its reason, and its log."""

    def run_it(name: str) -> tuple[str, str, str]:
        file = CORPUS / f"{name}.py"
        if request.param == "namespaces":
            if try_mode(MODES[0], tmp_path):
                pytest.skip("needs root with namespaces")
            ran = run(tmp_path, file, limits=LIMITS, mode=MODES[0])
            return ran.finished.outcome, ran.finished.reason, ran.log.decode()
        if request.param == "user":
            said = request.getfixturevalue("container")(file)
        else:
            number = USER_NAMESPACE if request.param == "user-namespace" else PLAIN
            said = request.getfixturevalue("unprivileged")(number, file)
        assert said[-1]["left"] == said[-1]["alive"] == []
        return said[-1]["outcome"], said[-1]["reason"], "".join(line.get("log", "") for line in said)

    run_it.mode = request.param
    return run_it


@pytest.mark.parametrize(
    "name", ["holds_memory_files", "holds_memory_in_flight", "holds_shared_memory", "holds_memory_in_a_thread"]
)
def test_memory_that_no_process_seems_to_hold_counts(run_in_mode, name):
    outcome, reason, log = run_in_mode(name)

    assert (outcome, reason) == (Outcome.ERROR, TOO_MUCH_MEMORY), log


def test_a_process_whose_first_thread_has_ended_does_not_outlive_the_run(run_in_mode):
    outcome, reason, log = run_in_mode("leaves_a_thread")

    assert (outcome, reason) == (Outcome.SUCCESS, ""), log
    (port,) = re.findall(r"port (\d+)", log)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_memory_group_of_a_run_whose_supervisor_was_killed_is_removed_by_the_next_run(tmp_path):
    def kill(ran: Ran) -> str | None:
        if "started" in b"".join(ran.chunks).decode():
            os.kill(ran.pids[0], signal.SIGKILL)
        return None

    waits = ("test_a.py", "def test_a():\n    print('started', flush=True)\n    import time\n    time.sleep(100)\n")
    killed = run(tmp_path, waits, should_stop=kill)
    if not groups_of(killed):
        pytest.skip("needs a machine where a memory group can be made")

    with held_group(f"{killed.name}-new") as new:
        following = run(tmp_path, SAMPLES / "test_success.py")

        assert groups_of(killed) == [new]  # it has no process yet, but its lock is held
    assert following.finished.outcome == Outcome.SUCCESS
    assert groups_of(following) == []


def groups_of(ran: Ran) -> list[str]:
    return [place for parent in cgroup._parents() for place in glob(f"{parent}/{cgroup.PREFIX}{ran.name}*")]


@contextlib.contextmanager
def held_group(name: str) -> Iterator[str]:
    group = cgroup.create_group(name, 64 * MIB)
    try:
        yield group.place
    finally:
        group.remove()
        os.close(group.lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_process_that_is_ending_is_no_unknown_to_a_user_who_may_not_read_its_files():
    with exclusive_user(MODES[int(OWN_USER)]) as user:
        ended = subprocess.Popen(["/bin/true"], user=user, group=user, extra_groups=[])
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped yet

        assert measure_as(user, lambda: usage_of([ended.pid], [], 0)) == ResourceUsage(0, 0)

        alive = subprocess.Popen(["/bin/sleep", "100"])  # of another user
        try:
            assert measure_as(user, lambda: usage_of([alive.pid], [], 0)) is None
        finally:
            alive.kill()
            alive.wait()
            ended.wait()


def test_files_without_a_name_count(run_in_mode):
    outcome, reason, log = run_in_mode("holds_deleted_files")

    if run_in_mode.mode in ("namespaces", "user-namespace"):
        assert outcome == Outcome.FAILED
        assert "No space left on device" in log
    else:
        assert (outcome, reason) == (Outcome.ERROR, DELETED), log


def test_many_files_in_shared_memory_count(run_in_mode):
    outcome, reason, log = run_in_mode("fills_shared_memory")

    if run_in_mode.mode in ("namespaces", "user-namespace"):
        assert outcome == Outcome.FAILED
        assert "No space left on device" in log
    else:
        assert reason == "More than 64 MiB or 50,000 files were written, or too deep to measure.", log


def test_no_user_namespace_can_be_made(run_in_mode):
    outcome, _, log = run_in_mode("makes_namespaces")

    assert outcome == Outcome.SUCCESS, log


def test_nothing_stays_behind(run_in_mode):
    before = {(entry.kind, entry.id) for entry in system_v()}

    outcome, _, log = run_in_mode("leaves_things_behind")

    assert outcome == Outcome.SUCCESS, log
    assert "written: /dev/shm" in log  # it has left a file
    assert [top for top in SHARED for path in Path(top).glob("opsroom-left-behind*")] == []
    assert not posix_queue_exists("/opsroom-left-behind")
    user = int(log.partition("user: ")[2].split()[0])
    new = [entry for entry in system_v() if (entry.kind, entry.id) not in before and user in entry.owners]
    assert [entry for entry in new if not entry.attached] == []
    if run_in_mode.mode in ("user", "plain"):
        assert "written: /tmp" not in log and "written: /var/tmp" not in log  # where the kernel supports Landlock


def posix_queue_exists(name: str) -> bool:
    """Check with mq_open, because /dev/mqueue is mounted on few machines."""
    number = libc.mq_open(name.encode(), os.O_RDONLY)
    if number >= 0:
        os.close(number)
    return bool(number >= 0)


@pytest.fixture
def elsewhere():
    """A directory outside /tmp, because each run has its own /tmp."""
    with tempfile.TemporaryDirectory(dir="/var/lib") as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_users_are_claimed_where_no_run_can_claim_them(tmp_path, monkeypatch):
    monkeypatch.setattr("testrunner.sandbox.isolation.USERS", range(64_000, 64_002))
    monkeypatch.setattr("testrunner.sandbox.isolation.CLAIM_DIRECTORIES", (tmp_path / "claims",))
    mode = MODES[int(OWN_USER)]

    with exclusive_user(mode) as one, exclusive_user(mode) as other:
        assert {one, other} == {64_000, 64_001}
        with pytest.raises(OSError, match="All users for runs are taken"):
            _claim_free_user(tmp_path / "claims")
    with exclusive_user(mode) as again:
        assert again in (one, other)

    assert (tmp_path / "claims").stat().st_mode & 0o077 == 0
    (tmp_path / "claims").chmod(0o777)
    with pytest.raises(OSError, match="are not root's alone"), exclusive_user(mode):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_run_sees_none_of_the_folders_that_are_hidden(elsewhere, settings):
    folders = {name: elsewhere / name for name in ("uploads", "static", "media", "runs")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "other.txt").write_text("secret")
    settings.TEST_UPLOADS_DIR, settings.STATIC_ROOT = str(folders["uploads"]), str(folders["static"])
    settings.MEDIA_ROOT, settings.TESTRUN_DIR = str(folders["media"]), str(folders["runs"])
    from testrunner.worker.runner import _own_directories

    assert {str(folder) for folder in folders.values()} <= set(_own_directories())
    if try_mode(MODES[0], elsewhere):
        pytest.skip("needs root with namespaces")
    text = f"""import os
def test_it():
    for place in {[str(folder) for folder in folders.values()]!r}:
        assert [name for name in os.listdir(place) if not name.startswith("run-")] == [], place
    assert open("test_it.py").read()
"""
    ran = run(
        folders["runs"], ("test_it.py", text), mode=MODES[0], hidden=[Path(place) for place in _own_directories()]
    )

    assert ran.finished.outcome == Outcome.SUCCESS, json.dumps(ran.log.decode())
