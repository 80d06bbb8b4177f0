"""Hostile corpus: each file ends with its stated outcome, in time, and leaves nothing behind.

Every test also checks what applies to all of them, for example that the next run works: see `hostile`.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from testrunner.sandbox.isolation import MIB, RunLimits
from testrunner.sandbox.isolation_check import probe
from testrunner.sandbox.results.outcome import Outcome
from testrunner.tests.running import CORPUS, processes_of, run

pytestmark = pytest.mark.thorough

LIMITS = RunLimits(
    wall_seconds=60, grace_seconds=2, cpu_seconds=60, memory_bytes=1024 * MIB, disk_bytes=64 * MIB, processes=40
)
NEXT = ("test_next.py", "def test_next():\n    pass\n")  # the run after a hostile one
ENDLESS = replace(LIMITS, wall_seconds=3, grace_seconds=1)  # for files that end only at a limit


@pytest.fixture
def hostile(tmp_path):
    """Run a file of the corpus, and check what applies to every file."""

    def run_it(name: str, limits: RunLimits = LIMITS):
        forget_peak()
        before = memory("VmRSS")
        ran = run(tmp_path, CORPUS / f"{name}.py", limits=limits)

        assert processes_of(ran.name) == []
        assert not Path(f"/proc/{ran.pids[0]}").exists()
        assert list(tmp_path.iterdir()) == []
        assert memory("VmHWM") - before < 50 * MIB
        assert len(ran.log) <= LIMITS.log_head + LIMITS.log_tail + 100
        assert "\0" not in ran.log.decode()
        assert Path("/etc/passwd").read_bytes()[:40] not in ran.log + ran.finished.junit_xml.encode()
        assert ran.told == ran.finished.results
        assert run(tmp_path, NEXT).finished.outcome == Outcome.SUCCESS
        return ran

    return run_it


def memory(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        ("closes_its_output", Outcome.SUCCESS, ""),
        ("daemon", Outcome.SUCCESS, ""),
        ("deep_directories", Outcome.SUCCESS, ""),
        ("disk_filler", Outcome.FAILED, "1 of 1 test failed."),
        ("exits_early", Outcome.ERROR, "Only 1 of 3 tests ended (pytest.exit: enough): did one of them end pytest?"),
        ("exits_without_a_word", Outcome.ERROR, "did a test call os._exit()?"),
        ("floods_the_report", Outcome.ERROR, "The report of the tests cannot be read: it is too large."),
        ("forges_its_report", Outcome.FAILED, " failed."),
        ("four_gigabytes_of_memory", Outcome.FAILED, "1 of 1 test failed."),
        ("garbage_in_the_report", Outcome.SUCCESS, ""),
        ("gigabyte_without_a_line", Outcome.SUCCESS, ""),
        ("many_files", Outcome.FAILED, "1 of 1 test failed."),
        ("spawns_processes", Outcome.SUCCESS, ""),
        ("swaps_links", Outcome.SUCCESS, ""),
        ("threads_without_end", Outcome.FAILED, "1 of 1 test failed."),
    ],
)
def test_it_ends_as_stated_and_leaves_nothing(hostile, name, outcome, words):
    ran = hostile(name)

    assert ran.finished.outcome == outcome, ran.log[-2000:]
    assert words in ran.finished.reason


@pytest.mark.parametrize("name", ["endless_loop", "fork_bomb", "ignores_signals", "stops_itself", "stops_its_parent"])
def test_it_times_out_and_leaves_nothing(hostile, name):
    ran = hostile(name, ENDLESS)

    assert (ran.finished.outcome, ran.finished.reason) == (Outcome.TIMED_OUT, "Not finished after 3 s.")


def test_many_processes_cannot_take_what_one_may_not(hostile):
    ran = hostile("many_large_processes", replace(LIMITS, total_memory_bytes=1024 * MIB))

    assert ran.finished.outcome == Outcome.ERROR
    assert ran.finished.reason == "The run's processes occupied more than 1 GiB of memory together."


def test_the_end_of_a_gigabyte_is_kept(hostile):
    ran = hostile("gigabyte_of_output")

    assert ran.finished.outcome == Outcome.SUCCESS
    assert ran.finished.log_bytes > 2**30 - 2**20
    assert b"the very end" in ran.log[-2000:]
    assert f"{ran.finished.log_dropped:,} bytes left out".encode() in ran.log


def test_killing_the_parent_is_no_way_out_where_the_parent_is_another_user_or_the_kernels_own(hostile, tmp_path):
    mode = probe(tmp_path)
    ran = hostile("kills_its_parent")

    spared = mode.namespaces or mode.change_user
    assert ran.finished.outcome == (Outcome.SUCCESS if spared else Outcome.ERROR)
    assert ran.outcomes == {"test_it": "passed" if spared else "error"}


def test_text_that_is_none_is_made_readable(hostile):
    ran = hostile("broken_text")
    lines = ran.log.decode().splitlines()

    assert ran.finished.outcome == Outcome.SUCCESS
    assert any("beforeafter �� � ��� 😀 whole" in line for line in lines)
    assert any(line.startswith("y" * 1000) and line.endswith(" bytes cut]") and len(line) < 17_000 for line in lines)
    assert "last line" in lines


@pytest.mark.parametrize("name", ["x" * 300 + ".py", "d" * 300 + "/x.py"])
def test_a_name_that_no_file_can_have_is_an_error_in_words(tmp_path, name):
    ran = run(tmp_path, (name, "def test_it(): pass\n"))

    assert ran.finished.outcome == Outcome.ERROR
    assert ran.finished.reason.startswith("The tests could not be started: OSError: [Errno 36] File name too long")


@pytest.mark.parametrize("name", ["-x.py", "@x.py", "sp ace/tëst ☃.py", "--collect-only.py"])
def test_a_strange_name_is_still_only_a_name(tmp_path, name):
    ran = run(tmp_path, (name, "def test_it(): pass\n"))

    assert ran.finished.outcome == Outcome.SUCCESS, ran.log.decode()


@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)\n", "import os\nos._exit(0)\n", "raise KeyboardInterrupt\n"])
def test_a_conftest_that_ends_pytest_is_an_error(tmp_path, text):
    ran = run(tmp_path, ("conftest.py", text), ("test_it.py", "def test_it(): pass\n"))

    assert ran.finished.outcome == Outcome.ERROR


def test_nothing_is_written_outside_of_the_run(hostile, tmp_path):
    ran = hostile("writes_everywhere")

    left = [top for top in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/") if Path(top, "opsroom-left-behind").exists()]
    for top in left:
        Path(top, "opsroom-left-behind").unlink()
    assert left == [] or not probe(tmp_path).namespaces
    assert b".py" not in ran.log.partition(b"written: [")[2].partition(b"]")[0]


def test_the_junit_file_stays_well_formed(hostile):
    from xml.etree import ElementTree

    for name in ("exits_without_a_word", "swaps_links", "garbage_in_the_report"):
        ElementTree.fromstring(hostile(name).finished.junit_xml)


def test_every_file_of_the_corpus_is_tried():
    others = ("test_worker_killed.py", "test_resource_usage.py")
    text = Path(__file__).read_text() + "".join((Path(__file__).parent / name).read_text() for name in others)

    assert [path.stem for path in CORPUS.glob("*.py") if path.stem not in text] == []
    assert os.listdir(CORPUS)
