"""The weaker walls hold what they promise: for a worker that is not root, and for one that is, in a container.

As root, the first one runs inside the strongest walls, as a user of its own: what "limits only" lets through stays
there. The second one has the powers that docker-compose.yml leaves it, and no others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testrunner import launch
from testrunner.guard import Guard, kill_everything_of, make_directory, plan
from testrunner.sandbox import (
    GIB,
    MODES,
    Limits,
    closed_directories,
    python,
    user_for_a_run,
    users_alive,
    uses_more_than,
)
from testrunner.tests.running import CORPUS, SAMPLES
from testrunner.trial import probe

PROJECT = Path(__file__).parents[2]
ROOMY = Limits(processes=400, memory_bytes=8 * GIB, disk_bytes=GIB, files=500_000, open_files=4096)
USER_NAMESPACE, OWN_USER, PLAIN = "1", "2", "3"
POWERS = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"]  # in their order
# Opens the directories of root's that are in the way, in a mount namespace, gives up powers, and becomes the worker.
AS_IN_A_CONTAINER = """
import ctypes, json, os, sys
from testrunner import launch
closed, kept, powers, command = json.loads(sys.argv[1])
launch.call(launch.libc.unshare(launch.CLONE_NEWNS), "unshare")
launch.call(launch.libc.mount(b"none", b"/", None, launch.MS_REC | launch.MS_PRIVATE, None), "mount")
held = {path: os.open(path, os.O_PATH) for path in kept}
for path in closed:
    launch.mount_memory(path, "mode=755")
    for inside in sorted(held):
        if inside.startswith(path + "/"):
            launch.put_back(held[inside], inside)
for power in range(64):
    if power not in powers:
        launch.libc.prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP
launch.prctl(launch.PR_SET_NO_NEW_PRIVS, 1)
os.chdir("/")
os.execv(command[0], command)
"""


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


@pytest.fixture
def container(tmp_path):
    """Run a worker that is root in a container; return all that it said."""
    if os.geteuid() != 0 or not probe(tmp_path).namespaces:
        pytest.skip("needs root")
    service = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["testrunner-worker"]
    root = tmp_path / "runs"

    def run(*files: Path, seconds: int = 60) -> list[dict]:
        root.mkdir(exist_ok=True)
        kept = [sys.prefix, sys.base_prefix, str(PROJECT), str(root)]
        closed = sorted({str(path) for place in kept for path in closed_directories(Path(place))})
        worker = [sys.executable, "-m", "testrunner.tests.worker", str(root), OWN_USER, str(seconds), *map(str, files)]
        plan = json.dumps([closed, kept, [POWERS.index(power) for power in service["cap_add"]], worker])
        environment = {"PYTHONPATH": str(PROJECT), "WORKER_SECRET": "hunter2", "TMPDIR": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", AS_IN_A_CONTAINER, plan],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def bystander():
    """A process of the worker's user with a secret in its environment, as a container's first one is."""
    process = subprocess.Popen(["sleep", "100"], env={**os.environ, "BYSTANDER_SECRET": "hunter3"})
    yield
    process.kill()
    process.wait()


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
    with user_for_a_run(MODES[int(OWN_USER)]) as user:
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


def test_no_directory_is_too_deep_to_be_removed(unprivileged):
    said = unprivileged(PLAIN, CORPUS / "deep_directories.py")

    assert said[-1]["outcome"] == "success", said
    assert said[-1]["left"] == said[-1]["alive"] == []


@pytest.fixture
def deep(tmp_path):
    """A directory with others in it, deeper than any path reaches, and with a link that leads out."""
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
    launch.remove(str(top))


def test_a_directory_deeper_than_a_path_is_removed_and_no_link_followed(deep, tmp_path):
    launch.remove(str(deep))

    assert not deep.exists()
    assert (tmp_path / "outside" / "kept").exists()


def test_a_directory_too_deep_to_be_measured_is_too_much(deep):
    assert uses_more_than(deep, Limits())


@pytest.mark.parametrize("file", ["disk_filler", "many_files"])
def test_without_one_the_worker_stops_whoever_writes_too_much(unprivileged, file):
    said = unprivileged(PLAIN, CORPUS / f"{file}.py")

    assert said[-1]["outcome"] == "error"
    assert said[-1]["reason"] == "More than 64 MiB or 50,000 files were written, or too deep to measure."
    assert said[-1]["left"] == said[-1]["alive"] == []
