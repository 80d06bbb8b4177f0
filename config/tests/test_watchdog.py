"""The watchdog kills processes that make no progress, and no others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.tests.test_supervisor import nobody_is_left

pytestmark = pytest.mark.thorough

PROJECT = Path(__file__).resolve().parents[2]
# The real main program with shorter values of PROGRESS_TIMEOUT, STOPPED_TIMEOUT and START_TIMEOUT.
SCRIPT = """
import sys
from config.processes import watchdog
watchdog.PROGRESS_TIMEOUT, watchdog.START_TIMEOUT, watchdog.CHECK_INTERVAL = float(sys.argv[1]), float(sys.argv[2]), 0.1
watchdog.STOPPED_TIMEOUT = 3.0  # longer than the watchdog counts after a suspension
sys.exit(watchdog.main(["thing", *sys.argv[3:]]))
"""
BEATS = """
import time
from config.processes import watchdog_client
watchdog_client.PROGRESS_INTERVAL = 0.2
print("up", flush=True)
while True:
    watchdog_client.watchdog.report_progress()
    time.sleep(0.1)
"""
WITH_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n" + BEATS
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc or prctl")


class Watched:
    """A process under a watchdog, in its own session."""

    def __init__(self, code: str, *, silence: float, start: float) -> None:
        self.watchdog = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(silence), str(start), "-c", code],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, start_new_session=True,
            env=os.environ | {"OPSROOM_LOCAL": "1"},
        )  # fmt: skip

    def until_up(self) -> "Watched":
        assert self.watchdog.stdout is not None and self.watchdog.stdout.readline() == "up\n"
        time.sleep(0.5)
        return self

    @property
    def child(self) -> psutil.Process:
        (child,) = psutil.Process(self.watchdog.pid).children()
        return child

    def status(self, seconds: float = 20) -> int:
        self.errors = self.watchdog.communicate(timeout=seconds)[1]
        return self.watchdog.returncode

    def lives_for(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self.watchdog.poll() is None


@pytest.fixture
def watched() -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def watched(code: str, *, silence: float = 2.0, start: float = 60.0) -> Watched:
        made.append(Watched(code, silence=silence, start=start))
        return made[-1]

    yield watched
    for each in made:
        if each.watchdog.poll() is None:
            os.killpg(each.watchdog.pid, signal.SIGKILL)
        each.watchdog.communicate()


def test_a_process_that_beats_is_left_alone(watched):
    assert watched(BEATS).until_up().lives_for(4)


@linux
def test_a_stopped_process_is_killed_with_everything_below_it_and_named(watched):
    thing = watched(WITH_CHILD, silence=60.0).until_up()
    family = [thing.child, *thing.child.children()]

    thing.child.suspend()

    assert thing.status() == -signal.SIGKILL
    assert f"The thing process {family[0].pid} was stopped for " in thing.errors
    assert len(family) == 2 and nobody_is_left(family)


@linux
def test_a_process_that_is_stopped_and_continued_is_left_alone(watched):
    thing = watched(BEATS).until_up()

    for _ in range(5):
        thing.child.suspend()
        time.sleep(0.4)
        thing.child.resume()
        time.sleep(0.4)

    assert thing.lives_for(2)


def test_a_process_that_gives_up_is_killed_at_once(watched):
    gives_up = BEATS.replace(
        "watchdog_client.watchdog.report_progress()",
        "watchdog_client.watchdog.report_progress(); time.sleep(1); watchdog_client.watchdog.request_restart()",
    )
    thing = watched(gives_up, silence=60.0).until_up()

    assert thing.status() == -signal.SIGKILL
    assert "does nothing any more and is killed" in thing.errors


def test_a_deadlock_is_killed_after_the_stack_of_each_thread_was_printed(watched):
    deadlock = BEATS.replace(
        "while True:", "import threading; lock = threading.Lock(); lock.acquire()\nfor _ in range(9):"
    )
    thing = watched(deadlock + "\nlock.acquire()").until_up()

    assert thing.status() == -signal.SIGKILL
    assert "made no progress for" in thing.errors
    assert 'File "<string>", line' in thing.errors


@linux
def test_a_process_that_is_stopped_at_its_start_is_killed(watched):
    thing = watched("import os, signal; print('up', flush=True); os.kill(os.getpid(), signal.SIGSTOP)").until_up()

    assert thing.status() == -signal.SIGKILL


@linux
def test_a_slow_start_is_not_taken_for_a_stopped_one(watched):
    busy = "import time\nwhile time.process_time() < 4: pass\n"

    assert watched(busy + BEATS, silence=1.0).until_up().lives_for(2)


def test_a_start_that_never_ends_is_killed(watched):
    thing = watched("while True: pass", start=3.0)

    assert thing.status() == -signal.SIGKILL
    assert "was not ready after 3 s" in thing.errors


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(70)", 70),
        ("pass", 1),  # ended without a signal: any restart policy should restart it
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_the_status_of_a_process_that_ends_by_itself_is_passed_on_and_never_zero(watched, code, status):
    assert watched(code).status() == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_was_asked_to_end_may_take_its_time(watched, number):
    polite = f"import signal, sys, time; signal.signal({number:d}, lambda *_: sys.exit(time.sleep(4)))\n"
    thing = watched(polite + BEATS).until_up()

    thing.watchdog.send_signal(number)

    assert thing.status() == 0
    assert thing.errors == ""


@linux
def test_a_process_does_not_outlive_its_watchdog(watched):
    thing = watched(BEATS).until_up()
    child = thing.child
    child.suspend()

    thing.watchdog.kill()

    assert nobody_is_left([child])


def test_a_process_goes_on_while_its_watchdog_is_stopped(watched):
    thing = watched(BEATS.replace("0.1", "0.0001").replace("0.2", "0.0")).until_up()
    child = thing.child

    thing.watchdog.send_signal(signal.SIGSTOP)
    time.sleep(3)
    used = sum(child.cpu_times()[:2])
    time.sleep(2)
    assert sum(child.cpu_times()[:2]) > used
    thing.watchdog.send_signal(signal.SIGCONT)

    assert thing.lives_for(3)


def test_a_machine_that_was_suspended_kills_nothing(watched):
    thing = watched(BEATS, silence=3.0).until_up()
    family = [psutil.Process(thing.watchdog.pid), thing.child]

    for _ in range(3):
        for process in family:
            process.suspend()
        time.sleep(4)
        for process in family:
            process.resume()
        time.sleep(0.5)

    assert thing.lives_for(1)


def test_what_the_process_starts_does_not_inherit_its_pipe(watched):
    asked = "import os, sys; sys.exit('OPSROOM_WATCHDOG_PIPE' in os.environ)"
    code = f"""
import subprocess, sys
from config.processes.watchdog_client import watchdog
assert watchdog.pipe
sys.exit(40 + subprocess.call([sys.executable, "-c", {asked!r}]))
"""

    assert watched(code).status() == 40


def test_a_process_that_tries_to_connect_beats_but_not_for_ever(watched):
    connecting = "from config.processes import watchdog_client; import time\nwatchdog_client.PROGRESS_INTERVAL = 0.2\n"
    connecting += "print('up', flush=True)\nwatchdog_client.watchdog.report_progress()\n"
    thing = watched(f"{connecting}with watchdog_client.watchdog.reporting_progress(6.0): time.sleep(60)").until_up()

    assert thing.lives_for(4)
    assert thing.status() == -signal.SIGKILL
