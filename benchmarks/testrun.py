"""One run of a trivial test in the executor, compared to `python -m pytest` on the same file.

Both run without installed plugins: the executor disables them, and they would slow down the peer. The difference is the
cost of the supervisor, the sandbox, the pipes and the clean-up. The sandbox is probed before, as a worker does once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure, at_most, spread
from benchmarks.size import sized
from testrunner.sandbox.executor import execute
from testrunner.sandbox.isolation_check import probe
from testrunner.sandbox.run_spec import RunSpec, TestBytes

ROUNDS = sized(15, 2)
SAMPLE = Path(__file__).parents[1] / "sample_tests" / "test_success.py"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        print(f"isolation: {probe(root).description}")
        file = Path(folder) / SAMPLE.name
        file.write_bytes(SAMPLE.read_bytes())
        for _ in range(2):  # warm-up of the disk cache
            executed(root), by_hand(file)
        rounds = [(executed(root), by_hand(file)) for _ in range(ROUNDS)]
    ours, bare = [mine for mine, _ in rounds], [theirs for _, theirs in rounds]
    print(f"executor {spread(ours, ' s')}, bare pytest {spread(bare, ' s')}")
    beyond = [mine - 1.15 * theirs for mine, theirs in rounds]
    return [at_most("a run of a trivial test, beyond 1.15 × bare pytest", 0.2, beyond, " s")]


def executed(root: Path) -> float:
    started = time.perf_counter()
    spec = RunSpec([TestBytes(SAMPLE.name, SAMPLE.read_bytes())], root=root, run_name="benchmark")
    finished = execute(spec, on_log=lambda chunk: None, on_result=lambda result: None, should_stop=lambda: None)
    assert finished.outcome == "success", finished.reason
    return time.perf_counter() - started


def by_hand(file: Path) -> float:
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", ".", file.name]
    started = time.perf_counter()
    subprocess.run(command, cwd=file.parent, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
