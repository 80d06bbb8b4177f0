"""Forks, exits and a killed server, with real processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from .conftest import accepted, status

PACKAGE = Path(__file__).resolve().parents[1]
PROGRAM = """
import os, sys
from opsroom_events import Client
client = Client(sys.argv[1], "k", max_age=60, exit_timeout=float(sys.argv[2]))
"""


def run(code: str, url: str, exit_timeout: float = 5) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # Python 3.12 and newer warn of every fork while threads run, which is what these tests do.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + code, url, str(exit_timeout)],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def names(ingest) -> list[str]:
    return sorted(event["name"] for batch in ingest.batches for event in batch)


def test_the_end_of_a_program_sends_what_is_queued(ingest):
    done = run("for n in range(1200): client.track('s', 'c', str(n))", ingest.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert names(ingest) == sorted(str(n) for n in range(1200))


def test_a_program_that_fails_sends_too(ingest):
    done = run("client.track('s', 'c', 'last words'); sys.exit(3)", ingest.url)

    assert done.returncode == 3
    assert names(ingest) == ["last words"]


def test_the_end_of_a_program_does_not_wait_for_ever(ingest):
    ingest.answers = [status(503, Retry_After="300")]

    done = run("client.track('s', 'c', 'n')", ingest.url, exit_timeout=0.5)  # and `run` has a timeout

    assert done.returncode == 0
    assert "Closed with 1 events" in done.stderr


def test_the_end_of_a_program_tries_once_more_while_the_server_asks_for_patience(ingest):
    ingest.answers = [status(503, Retry_After="300"), accepted]
    code = """
import threading
client.track("s", "c", "n")
client.flush(0)
while not client.stats.retries: threading.Event().wait(0.01)
"""
    done = run(code, ingest.url)

    assert (done.returncode, names(ingest)) == (0, ["n", "n"])
    assert "Closed with" not in done.stderr


def test_the_timeouts_of_several_clients_run_at_the_same_time(ingest):
    ingest.answers = [status(503, Retry_After="300")]
    code = """
import atexit, time
clients = [Client(sys.argv[1], "k", exit_timeout=3) for _ in range(8)]
for one in clients: one.track("s", "c", "n")
begin = time.monotonic()
atexit.unregister(sys.modules["opsroom_events.client"]._close_all)
atexit.register(lambda: print(time.monotonic() - begin))
atexit.register(sys.modules["opsroom_events.client"]._close_all)
"""
    done = run(code, ingest.url)

    assert done.stderr.count("Closed with 1 events") == 8
    assert float(done.stdout) < 12  # one after the other they would take 24 s


def test_a_fork_doubles_nothing_and_both_sides_send(ingest):
    code = """
client.track("s", "c", "before")
child = os.fork()
client.track("s", "c", "child" if child == 0 else "parent")
if child == 0:
    print(client.stats.tracked)
    sys.exit(0)
os.waitpid(child, 0)
"""
    done = run(code, ingest.url)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "1\n")
    assert names(ingest) == ["before", "child", "parent"]


def test_a_fork_while_other_threads_track_leaves_no_lock_behind(ingest):
    code = """
import threading
stop = threading.Event()
def busy():
    while not stop.wait(0.0005):  # else the server, on the same processor, would never get to the children
        client.track("s", "c", "busy", {"text": "x" * 1000})
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
children = []
for number in range(10):
    child = os.fork()
    if child == 0:
        client.track("s", "c", "child-%d" % number)
        os._exit(0 if client.close(30) else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
stop.set()
for thread in threads: thread.join()
"""
    done = run(code, ingest.url, exit_timeout=0)

    assert done.stdout == f"{[0] * 10}\n"
    assert [name for name in names(ingest) if name != "busy"] == [f"child-{n}" for n in range(10)]


@pytest.mark.parametrize("before", ["", "client.track('s', 'c', 'parent'); client.flush()", "client.close()"],
                         ids=["first used in the child", "used before", "closed before"])  # fmt: skip
def test_a_child_that_ends_by_os_exit_sends(ingest, before):
    code = f"""
{before}
child = os.fork()
if child == 0:
    for n in range(3): client.track("s", "c", "child")
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run(code, ingest.url)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "7\n")
    assert [name for name in names(ingest) if name != "parent"] == ["child"] * 3


def test_a_child_without_events_ends_at_once_and_a_server_that_is_away_delays_it_for_the_timeout_only(ingest):
    ingest.answers = [status(503, Retry_After="300")]
    code = """
for tracks in (False, True):
    child = os.fork()
    if child == 0:
        if tracks: client.track("s", "c", "n")
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""
    done = run(code, ingest.url, exit_timeout=0.5)

    assert done.stdout == "0\n0\n"
    assert set(names(ingest)) <= {"n"}


PROCESSES = """
import multiprocessing
from opsroom_events import Client

def work(client, name):
    client.track("s", "c", name)

if __name__ == "__main__":
    import sys
    client = Client(sys.argv[1], "k", max_age=60)
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        process = context.Process(target=work, args=(client, method))
        process.start()
        process.join()
        with context.Pool(1) as pool:
            pool.apply(work, (client, "pool of " + method))
            pool.close()
            pool.join()
"""


def test_processes_of_multiprocessing_send_however_they_are_started(ingest, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROCESSES)

    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(program), ingest.url],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    methods = ["fork", "forkserver", "spawn"]
    assert names(ingest) == sorted(methods + [f"pool of {method}" for method in methods])


OWN_HANDLER = """
import signal
def handle(*_): client.track("s", "c", "handled"); sys.exit(3)
signal.signal(signal.SIGTERM, handle)
"""


@pytest.mark.parametrize(
    ("handler", "code", "sent"),
    [
        ("", -signal.SIGTERM, ["n"]),
        (OWN_HANDLER, 3, ["handled", "n"]),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0, ["n", "survived"]),
        (
            "import threading; threading.Thread(target=client.track, args=('s', 'c', 'thread')).start()",
            -15,
            ["n", "thread"],
        ),
    ],
    ids=["default", "own handler", "ignored", "tracked in a thread"],
)
def test_a_program_that_is_ended_by_sigterm_sends_and_ends_as_it_would_have(ingest, handler, code, sent):
    program = f"""
{handler}
client.track("s", "c", "n")
os.kill(os.getpid(), 15)
client.track("s", "c", "survived")
"""
    done = run(program, ingest.url)

    assert (done.returncode, done.stderr) == (code, "")
    assert names(ingest) == sent


def test_a_client_that_leaves_sigterm_alone_ends_at_once(ingest):
    code = """
import signal
first = signal.signal(signal.SIGTERM, signal.SIG_DFL)
Client(sys.argv[1], "k", on_sigterm=False)
print(first is not signal.SIG_DFL, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""

    assert run(code, ingest.url).stdout == "True True\n"


def test_a_second_sigterm_ends_a_program_that_is_still_sending(ingest):
    ingest.answers = [status(503, Retry_After="300")]
    code = """
import threading
client.track("s", "c", "n")
threading.Timer(0.5, os.kill, (os.getpid(), 15)).start()
os.kill(os.getpid(), 15)
"""
    done = run(code, ingest.url, exit_timeout=300)  # and `run` has a shorter timeout

    assert done.returncode == -signal.SIGTERM


class Server:
    """server.py in a process that can be killed and restarted on the same port."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        script = str(Path(__file__).with_name("server.py"))
        self.process = subprocess.Popen([sys.executable, script, str(self.port), str(self.file)])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def stored(self) -> list[str]:
        return [json.loads(line)["event_id"] for line in self.file.read_text().splitlines()]


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "accepted.jsonl")
    yield server
    server.kill()


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(make_client, server, monkeypatch):
    monkeypatch.setattr("opsroom_events.client.MAX_PAUSE", 0.2)
    client = make_client(url=server.url, max_age=0.01)
    idle, ids = threading.Event(), []

    for _ in range(8):
        for _ in range(300):
            ids.append(client.track("s", "c", "n"))
            idle.wait(random.uniform(0, 0.001))
        server.kill()
        ids += [client.track("s", "c", "while away") for _ in range(100)]
        idle.wait(0.1)
        server.start()

    assert client.flush(60)
    assert None not in ids
    assert sorted(server.stored) == sorted(ids)  # each exactly once
    assert client.stats.accepted + client.stats.duplicates == len(ids)
    assert client.stats.retries > 0, "it was never away: this run has proved nothing"
