"""`make run`: its messages before the start, when it is ready, and what is left after the end."""

import asyncio
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.local import embedded, launcher
from config.local.embedded.home import PROJECT
from config.tests.ports import free_port


@pytest.fixture
def port() -> int:
    return free_port()


def test_a_port_in_use_is_named_with_the_way_out(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        with pytest.raises(launcher.LaunchError, match=rf"^Port {port} is in use by another program: make run PORT="):
            launcher.free_port(str(port))

    assert launcher.free_port(str(port)) == port


@pytest.mark.parametrize("wanted", ["", "http", "0", "65536", "-1", "8000.0"])
def test_what_is_no_port_is_refused_in_one_sentence(wanted: str) -> None:
    with pytest.raises(launcher.LaunchError, match="is not a port"):
        launcher.free_port(wanted)


@pytest.mark.parametrize("wanted", ["0", "65", "two", "-1", "1.5"])
def test_a_number_of_slots_out_of_bounds_is_refused_in_one_sentence(wanted: str) -> None:
    assert launcher.number_of_slots("64") == "64"

    with pytest.raises(launcher.LaunchError, match=r"^TESTRUN_SLOTS must be a whole number from 1 to 64: "):
        launcher.number_of_slots(wanted)


def test_a_second_copy_in_the_same_folder_is_told_where_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "run" / "launcher.lock"
    path.parent.mkdir()
    with (
        launcher.only_one(path, 8000),
        pytest.raises(launcher.LaunchError, match=r"runs already .* at http://127\.0\.0\.1:8000/admin/"),
    ):
        launcher.only_one(path, 8001)

    launcher.only_one(path, 8001).close()


@pytest.fixture
def answer(port: int) -> Iterator[Callable[[dict[str, dict[str, object]]], None]]:
    """Yield a function that sets what a web process reports about its parts at /health/."""
    parts: dict[str, dict[str, object]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if all(part["ok"] for part in parts.values()) else 503)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "…", "parts": parts}).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield parts.update
    server.shutdown()
    thread.join()
    server.server_close()


Answer = Callable[[dict[str, dict[str, object]]], None]


def test_it_is_ready_when_every_part_answers_since_this_start(answer: Answer, port: int) -> None:
    answer({"database": {"ok": True, "detail": "answers", "age": None}})
    answer({"worker": {"ok": True, "detail": "last heard of 9 s ago", "age": 9.0}})

    assert launcher.what_is_missing(port, time.time() - 10) is None
    assert launcher.what_is_missing(port, time.time() - 5) == "worker not heard of yet"  # an earlier run's heartbeat


def test_the_part_that_does_not_answer_is_named(answer: Answer, port: int) -> None:
    answer({"database": {"ok": True, "detail": "answers"}, "broker": {"ok": False, "detail": "does not answer"}})

    assert launcher.what_is_missing(port, time.time()) == "broker does not answer"


def test_a_web_process_that_is_not_up_yet_is_named(port: int) -> None:
    assert launcher.what_is_missing(port, time.time()) == "web does not answer"


def test_slowness_is_told_once_a_minute_while_waiting_goes_on(
    answer: Answer, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(launcher, "SLOW", 0.2)
    answer({"beat": {"ok": False, "detail": "not heard of yet"}})

    async def wait() -> None:
        waiting = asyncio.create_task(launcher.until_ready(port, time.time(), lines.append))
        await asyncio.sleep(0.5)
        answer({"beat": {"ok": True, "detail": "last heard of 0 s ago", "age": 0.0}})
        await asyncio.wait_for(waiting, 5)

    asyncio.run(wait())
    assert "Opsroom is not ready yet: beat not heard of yet." in lines


def test_only_loopback_is_listened_at() -> None:
    web = next(command for command in launcher.commands(8000) if command.name == "web")

    assert web.argv[web.argv.index("--host") + 1] == "127.0.0.1"


# --- The whole launcher, in a copy of the project -----------------------------------------------


class Copy:
    """A copy of the project in its own folder, in which `make run` runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Running] = []
        ignored = shutil.ignore_patterns(".venv", ".git", ".opsroom*", ".*_cache", "__pycache__", "htmlcov")
        # Files that concurrent tests create and remove in the tree may disappear during the copy.
        shutil.copytree(PROJECT, folder, ignore=ignored, ignore_dangling_symlinks=True)

    def environment(self) -> dict[str, str]:
        left_out = (*embedded.SERVICES, "OPSROOM_LOCAL", "OPSROOM_HOME", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
        return {name: value for name, value in os.environ.items() if name not in left_out}

    def run(self, port: int) -> "Running":
        self.runs.append(Running(self, port))
        return self.runs[-1]

    def shell(self, code: str) -> str:
        """Return the last line that Python code prints in `manage.py shell`."""
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1] if done.stdout else ""

    def processes(self) -> list[psutil.Process]:
        """Return every process that works in this folder, or on its data."""
        return [each for each in psutil.process_iter() if self.is_ours(each)]

    def is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(self.folder)
        except (psutil.Error, OSError):
            return False


class Running:
    """One `make run`, from its start to its end."""

    def __init__(self, copy: Copy, port: int) -> None:
        self.copy = copy
        self.lines: list[str] = []
        # This test run's environment is already installed, so `true` replaces the bootstrap.
        self.process = subprocess.Popen(
            ["make", "run", f"PORT={port}", "PYTHON=true", f"BIN={sys.executable}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=copy.folder,
            env=copy.environment(),
            start_new_session=True,
        )

    def until_ready(self) -> str:
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("Opsroom is ready"):
                return line.rstrip("\n")
        pytest.fail("never ready:\n" + "".join(self.lines[-40:]))

    def end(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal: a terminal's Ctrl-C goes to the whole group, an administrator's SIGTERM to make."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        self.lines.extend(self.process.communicate(timeout=60)[0].splitlines(keepends=True))

    def launcher(self) -> psutil.Process:
        return next(
            each
            for each in psutil.Process(self.process.pid).children(recursive=True)
            if "config.local.launcher" in each.cmdline()
        )


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Callable[[str], Copy]]:
    made: list[Copy] = []

    def copies(name: str) -> Copy:
        made.append(Copy(tmp_path / name))
        return made[-1]

    yield copies
    for copy in made:
        for process in copy.processes():
            process.kill()
        for each in copy.runs:
            each.process.communicate()


MARK = "from django.contrib.auth.models import Group; "


@pytest.mark.chaos
@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_it_starts_stops_leaves_nothing_running_and_keeps_the_data(
    copies: Callable[[str], Copy], port: int, number: signal.Signals, group: bool
) -> None:
    copy = copies("copy")
    first = copy.run(port)
    assert first.until_ready() == f"Opsroom is ready: http://127.0.0.1:{port}/admin/  (admin / 12345)"
    copy.shell(MARK + "Group.objects.create(name='kept')")
    first.end(number, group=group)
    assert copy.processes() == []

    second = copy.run(port)
    second.until_ready()
    assert copy.shell(MARK + "print(Group.objects.filter(name='kept').count())") == "1"
    second.end(number, group=group)

    assert copy.processes() == []
    assert not any("Error" in line or "Traceback" in line for line in second.lines), second.lines


@pytest.mark.chaos
def test_two_copies_run_side_by_side_and_end_apart(copies: Callable[[str], Copy], port: int) -> None:
    left, right = copies("left"), copies("a" * 120)
    ours, theirs = left.run(port), right.run(free_port())
    ours.until_ready()
    theirs.until_ready()

    ours.end(signal.SIGTERM)

    assert left.processes() == []
    assert right.shell(MARK + "print(Group.objects.count())").isdecimal()
    theirs.end(signal.SIGTERM)
    assert right.processes() == []


@pytest.mark.chaos
def test_after_kill_9_nothing_of_ours_is_left_and_the_next_start_is_as_any_other(
    copies: Callable[[str], Copy], port: int
) -> None:
    copy = copies("copy")
    killed = copy.run(port)
    killed.until_ready()
    killed.launcher().kill()
    killed.process.communicate(timeout=60)

    deadline = time.monotonic() + 60
    while copy.processes():  # web and workers, PostgreSQL and Valkey
        assert time.monotonic() < deadline, copy.processes()
        time.sleep(0.1)
    again = copy.run(port)
    again.until_ready()
    again.end(signal.SIGTERM)

    assert copy.processes() == []


@pytest.mark.chaos
def test_servers_that_a_killed_run_left_are_used_again_and_that_is_said(
    copies: Callable[[str], Copy], port: int
) -> None:
    copy = copies("copy")
    killed = copy.run(port)
    killed.until_ready()
    for process in copy.processes():
        if "config.local.embedded.stop_after_kill" in process.cmdline():
            process.kill()
    killed.launcher().kill()
    killed.process.communicate(timeout=60)

    again = copy.run(port)
    again.until_ready()
    again.end(signal.SIGTERM)

    words = "Using PostgreSQL and Valkey, which an earlier run that was killed has left running.\n"
    assert words in again.lines
    assert copy.processes() == []


@pytest.mark.chaos
def test_a_process_that_dies_is_named_and_started_again(copies: Callable[[str], Copy], port: int) -> None:
    copy = copies("copy")
    running = copy.run(port)
    running.until_ready()

    beat = next(each for each in running.launcher().children() if "beat" in each.cmdline())
    beat.kill()
    killed, deadline = time.time(), time.monotonic() + 45
    while (problem := launcher.what_is_missing(port, killed)) is not None:
        assert time.monotonic() < deadline, problem
        time.sleep(0.2)
    running.end(signal.SIGTERM)

    assert any(line.startswith("The beat process ended by signal 9") for line in running.lines)
    assert copy.processes() == []
