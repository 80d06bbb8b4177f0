"""What came of a run, and of each of its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"  # all tests ran to their end, and at least one of them did not pass
    ERROR = "error"  # nobody can say whether the tests pass: no test, no report, a file that cannot be read
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"  # `should_stop` gave a reason


@dataclass(frozen=True)
class TestResult:
    """One test, told as soon as its teardown is over."""

    __test__: ClassVar[bool] = False  # not a test, whatever its name

    nodeid: str  # "directory/test_file.py::TestClass::test_name[parameter]"; 1,000 characters at most
    outcome: str  # passed | failed | error | skipped | xfailed | xpassed
    seconds: float = 0.0  # set-up, call and teardown together
    message: str = ""  # one line: the exception, or why it was skipped; 1,000 characters at most
    details: str = ""  # the traceback as text; 16 KiB at most


@dataclass(frozen=True)
class Finished:
    """A run that is over: no process of it is alive and no file of it is left."""

    outcome: Outcome
    reason: str  # in words for people; empty after a success
    exit_code: int | None  # pytest's; negative: the signal that ended it; None: it never started
    results: list[TestResult] = field(default_factory=list)
    junit_xml: bytes = b""  # pytest's own if it wrote a whole one, else made from `results`; always well-formed
    sandbox: str = ""  # the walls in force, in words: "own processes and files, user 61190, 2 GiB memory, …"
    log_bytes: int = 0  # written by the tests
    log_dropped: int = 0  # of these, left out in the middle
    seconds: float = 0.0
