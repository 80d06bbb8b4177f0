"""The supervisor: ended processes are restarted, and no process is left at the end."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.local.supervisor import dying_with_us

pytestmark = pytest.mark.thorough

PROJECT = Path(__file__).resolve().parents[2]
# A grandchild is in the same group, like Celery's pool.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
SCRIPT = """
import asyncio, sys
from pathlib import Path
from config.local import supervisor
from config.local.supervisor import ProcessCommand, Supervisor

supervisor.STOP_TIMEOUT = float(sys.argv.pop(1))

async def meanwhile(output):
    await asyncio.sleep(0.1)
    output.say("meanwhile")

commands = [ProcessCommand(str(number), [sys.executable, "-c", code]) for number, code in enumerate(sys.argv[1:])]
asyncio.run(Supervisor(commands, cwd=Path.cwd()).run(meanwhile))
"""


class Run:
    """A supervisor in a separate process, whose children run these pieces of Python."""

    def __init__(self, *codes: str, patience: float = 1.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(patience), *codes],
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            start_new_session=True,
        )
        self.codes = codes

    def family(self) -> list[psutil.Process]:
        """Return the processes below it, once all of them run."""
        below = psutil.Process(self.process.pid)
        while len(family := below.children(recursive=True)) < len(self.codes) + self.codes.count(PARENT):
            time.sleep(0.02)
        time.sleep(0.3)
        return family

    def output(self) -> str:
        return self.process.communicate(timeout=30)[0]


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def run(*codes: str, patience: float = 1.0) -> Run:
        runs.append(Run(*codes, patience=patience))
        return runs[-1]

    yield run
    for each in runs:
        each.process.kill()
        each.process.communicate()


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):  # it may end between the two calls
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def nobody_is_left(family: list[psutil.Process]) -> bool:
    deadline = time.monotonic() + 5
    while any(lives(each) for each in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_counts_as_a_wanted_end(run: Callable[..., Run], number: signal.Signals) -> None:
    running = run(PARENT, PARENT)
    family = running.family()

    running.process.send_signal(number)

    running.output()
    assert running.process.returncode == 0
    assert nobody_is_left(family)


def test_one_that_ends_is_started_again_after_pauses_that_grow_and_the_others_stay(run: Callable[..., Run]) -> None:
    running = run("import time; time.sleep(60)", "print('again'); raise SystemExit(3)")
    time.sleep(6)  # starts at 0, 1 and 3 s
    (steady,) = [each for each in psutil.Process(running.process.pid).children() if "60" in each.cmdline()[-1]]

    running.process.send_signal(signal.SIGTERM)

    lines = running.output().splitlines()
    ends = [line for line in lines if line.startswith("The 1 process ended with status 3 after 0 s")]
    assert [line.rpartition(" in ")[2] for line in ends] == ["1 s.", "2 s.", "4 s."]
    assert sum(line.endswith("1 | again") for line in lines) == 3
    assert not any(line.startswith("The 0 process") for line in lines)
    assert nobody_is_left([steady])


def test_one_that_is_killed_is_named_with_its_signal_and_its_children_are_gone(run: Callable[..., Run]) -> None:
    running = run(PARENT)
    family = running.family()

    family[0].kill()
    assert nobody_is_left(family)
    time.sleep(2)
    again = psutil.Process(running.process.pid).children(recursive=True)
    running.process.send_signal(signal.SIGTERM)

    assert len(again) == 2
    assert "The 0 process ended by signal 9" in running.output()


def test_a_command_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    code = SCRIPT.replace('[sys.executable, "-c", code]', "[code]")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "1", str(tmp_path / "nothing")],
        stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    )  # fmt: skip
    time.sleep(3)

    process.terminate()

    assert process.communicate(timeout=30)[0].count("is started again in") >= 1


FLOOD = "import time\nwhile True: print('x' * 200, flush=True)"


def test_a_reader_that_stands_still_makes_it_deaf_to_nothing(run: Callable[..., Run]) -> None:
    running = run(FLOOD, STUBBORN)
    family = running.family()
    time.sleep(3)  # unread, the pipe is full after a few hundred lines

    running.process.send_signal(signal.SIGTERM)

    running.process.wait(15)
    assert nobody_is_left(family)


def test_lines_that_a_slow_reader_missed_are_counted(run: Callable[..., Run]) -> None:
    running = run(FLOOD)
    running.family()
    time.sleep(6)
    assert running.process.stdout is not None

    read = [running.process.stdout.readline() for _ in range(30_000)]
    running.process.send_signal(signal.SIGTERM)
    running.process.stdout.read()

    assert any("lines were dropped: the reader of this output was too slow" in line for line in read)


def test_a_reader_that_has_gone_ends_the_run(run: Callable[..., Run]) -> None:
    running = run(FLOOD)
    family = running.family()
    assert running.process.stdout is not None

    running.process.stdout.close()
    running.process.stdout = None  # so that the fixture does not read it

    assert running.process.wait(15) == 0
    assert nobody_is_left(family)


def test_a_child_that_will_not_stop_is_forced(run: Callable[..., Run]) -> None:
    running = run(STUBBORN)
    family = running.family()

    running.process.send_signal(signal.SIGTERM)

    running.output()
    assert running.process.returncode == 0
    assert nobody_is_left(family)


POLITE = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(time.sleep(0.4) or print('bye')))"


def test_a_signal_that_comes_twice_at_once_still_stops_warmly(run: Callable[..., Run]) -> None:
    running = run(f"{POLITE}; time.sleep(60)")
    running.family()

    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        running.process.send_signal(number)

    assert "bye" in running.output()


def test_a_second_ctrl_c_of_a_person_forces_at_once(run: Callable[..., Run]) -> None:
    running = run(STUBBORN, patience=60.0)
    family = running.family()

    running.process.send_signal(signal.SIGINT)
    time.sleep(0.7)
    running.process.send_signal(signal.SIGINT)

    running.output()
    assert running.process.returncode == 0
    assert nobody_is_left(family)


@pytest.mark.skipif(not dying_with_us(), reason="needs Linux and util-linux")
def test_the_children_of_a_killed_supervisor_do_not_live_on(run: Callable[..., Run]) -> None:
    running = run("import time; time.sleep(60)", "import time; time.sleep(60)")
    family = running.family()

    running.process.kill()

    assert nobody_is_left(family)


def test_output_is_prefixed_and_survives_an_endless_line_and_bytes_that_are_no_text(run: Callable[..., Run]) -> None:
    noisy = "import sys, time; o = sys.stdout.buffer; o.write(b'x' * 3_000_000 + b'\\n\\xff\\nlast\\n'); o.flush()"
    running = run(f"{noisy}; time.sleep(60)")
    time.sleep(3)

    running.process.terminate()

    lines = running.output().splitlines()

    assert any(line.endswith("0 | last") for line in lines)
    assert "meanwhile" in lines
