"""Results of a run and of each of its tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

MAX_NODEID, MAX_MESSAGE, MAX_DETAILS = 1_000, 300, 64 * 2**10  # characters
MAX_DURATION = 604_800.0  # seconds of one test (a week): longer than any run, and small enough for rows and pages


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"  # all tests ran to their end, and at least one of them failed
    ERROR = "error"  # it is unknown whether the tests pass: no test, no report, or a failed set-up
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"  # the worker gave it up


@dataclass(frozen=True)
class Stop:
    """The decision to end a run early, and why, as text for users."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class TestOutcome:
    """The result of one test, or of a file that could not be collected. Reported when the test ends."""

    __test__: ClassVar[bool] = False  # pytest must not collect this class

    # "directory/test_file.py::TestClass::test_name[parameter]"; unique, at most 1,000 characters. A longer id is cut
    # and ends in a digest. If two ids are equal after redaction, the second one ends in "~2".
    nodeid: str
    outcome: str  # passed | failed | error | skipped | xfailed | xpassed
    seconds: float = 0.0  # set-up, call and teardown together; at most MAX_DURATION
    message: str = ""  # one line: the exception, or why it was skipped; at most MAX_MESSAGE characters
    details: str = ""  # the traceback as plain text, of call and teardown; at most about MAX_DETAILS characters
    fails_twice: bool = False  # the call failed, and so did the set-up or teardown

    @property
    def counts_as(self) -> tuple[str, ...]:
        """Return the outcomes as which this test is counted. As in pytest, a failure and an error of one test count as
        two.
        """
        return (self.outcome, "error") if self.fails_twice else (self.outcome,)


@dataclass(frozen=True)
class Finished:
    """A finished run: none of its processes is alive, its files are removed, and secrets are redacted in all texts."""

    outcome: Outcome
    reason: str  # text for users; empty after a success
    exit_code: int | None  # pytest's; negative: the signal that ended it; None: it never started, or was killed
    results: list[TestOutcome] = field(default_factory=list)
    junit_xml: str = ""  # pytest's own if it is complete, otherwise made from `results`; always well-formed
    sandbox: str = ""  # the isolation in force as text: "own processes, read-only files, own user; 2 GiB memory, …"
    all_ran: bool = False  # the report is complete, and every collected test has ended
    log_bytes: int = 0  # bytes written by the tests
    log_dropped: int = 0  # of these, bytes left out in the middle
    seconds: float = 0.0
