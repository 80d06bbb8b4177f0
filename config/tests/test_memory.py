"""A process above its memory limit ends: first gracefully, then by force."""

import subprocess
import sys

import pytest
from django.conf import settings

PROGRAM = """
import signal, sys, time
from config.server import memory_limit
memory_limit.EVERY, memory_limit.GRACE = 0.05, 1.0
signal.signal(signal.SIGTERM, {handler})
memory_limit.limit_memory({limit})
held = bytearray({take} * memory_limit.MB)
print("held", flush=True)
time.sleep({seconds})
print("left", flush=True)
"""


def run(handler: str, *, limit: int = 100, take: int = 150, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(handler=handler, limit=limit, take=take, seconds=seconds)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_process_above_its_limit_is_asked_to_end():
    ended = run("lambda *_: sys.exit(0)")

    assert ended.returncode == 0
    assert "left" not in ended.stdout
    assert "memory_limit_exceeded" in ended.stdout + ended.stderr


def test_a_process_that_does_not_end_when_asked_is_ended_hard():
    assert run("signal.SIG_IGN").returncode == 70


@pytest.mark.parametrize(("limit", "take"), [(500, 50), (0, 150)])
def test_a_process_below_its_limit_or_without_one_goes_on(limit, take):
    ended = run("signal.SIG_DFL", limit=limit, take=take, seconds=1)

    assert (ended.returncode, ended.stdout) == (0, "held\nleft\n")


def test_memory_that_is_taken_at_once_is_refused_by_the_kernel():
    ended = run("signal.SIG_DFL", limit=100, take=2_000)

    assert ended.returncode == 1 and "MemoryError" in ended.stderr
