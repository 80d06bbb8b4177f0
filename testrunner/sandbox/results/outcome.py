"""The result of a run, and of each of its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

NODEID, MESSAGE, DETAILS = 1_000, 300, 64 * 2**10  # characters
MAX_DURATION = 604_800.0  # seconds of one test, a week: beyond any run, and within what rows and pages can hold


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"  # all tests ran to their end, and at least one of them failed
    ERROR = "error"  # nobody can say whether the tests pass: no test, no report, a set-up that failed
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"  # `should_stop` gave a reason


@dataclass(frozen=True)
class TestOutcome:
    """The result of one test, or of a file that could not be collected, as soon as it has ended."""

    __test__: ClassVar[bool] = False  # not a test, whatever its name

    # "directory/test_file.py::TestClass::test_name[parameter]"; 1,000 characters at most, and no other test's: a longer
    # one ends in a digest, and of two that differ in nothing but a secret the second one ends in "~2".
    nodeid: str
    outcome: str  # passed | failed | error | skipped | xfailed | xpassed
    seconds: float = 0.0  # set-up, call and teardown together; MAX_DURATION at most
    message: str = ""  # one line: the exception, or why it was skipped; MESSAGE characters at most
    details: str = ""  # the traceback as plain text, of call and teardown; about DETAILS characters at most
    fails_twice: bool = False  # failed in its call, and its set-up or teardown failed, too

    @property
    def counted(self) -> tuple[str, ...]:
        """The outcomes as which it is counted: as pytest does it, a failure and an error of one test are two."""
        return (self.outcome, "error") if self.fails_twice else (self.outcome,)


@dataclass(frozen=True)
class Finished:
    """A run that is over: no process of it is alive and no file of it is left."""

    outcome: Outcome
    reason: str  # in words for people; empty after a success
    exit_code: int | None  # pytest's; negative: the signal that ended it; None: it never started, or was killed
    results: list[TestOutcome] = field(default_factory=list)
    junit_xml: bytes = b""  # pytest's own if it wrote a whole one, else made from `results`; always well-formed
    sandbox: str = ""  # the walls in force, in words: "own processes, read-only files, own user; 2 GiB memory, …"
    all_ran: bool = False  # the report is whole, and every test that was collected has ended
    log_bytes: int = 0  # written by the tests
    log_dropped: int = 0  # of these, left out in the middle
    seconds: float = 0.0
