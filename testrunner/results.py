"""What came of a run, and of each of its tests: read from pytest's own report while it is written.

A hostile test can write into its own report. Everything here is bounded and nothing is believed to be well-formed, but
results are only as trustworthy as the file that was run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from testrunner.mask import Mask
from testrunner.nodeids import shortened

LINE_BYTES = 2**20  # of the report: a test with all its output
NODEID, MESSAGE, DETAILS = 1_000, 1_000, 16 * 2**10
LONGEST = 604_800.0  # seconds of one test, a week: beyond any run, and within what rows and pages can hold


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"  # all tests ran to their end, and at least one of them failed
    ERROR = "error"  # nobody can say whether the tests pass: no test, no report, a set-up that failed
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"  # `should_stop` gave a reason


@dataclass(frozen=True)
class TestResult:
    """One test, told as soon as its teardown is over."""

    __test__: ClassVar[bool] = False  # not a test, whatever its name

    # "directory/test_file.py::TestClass::test_name[parameter]"; 1,000 characters at most, and no other test's: a longer
    # one ends in a digest, and of two that differ in nothing but a secret the second one ends in "~2".
    nodeid: str
    outcome: str  # passed | failed | error | skipped | xfailed | xpassed
    seconds: float = 0.0  # set-up, call and teardown together; LONGEST at most
    message: str = ""  # one line: the exception, or why it was skipped; 1,000 characters at most
    details: str = ""  # the traceback as text; 16 KiB at most


@dataclass(frozen=True)
class Finished:
    """A run that is over: no process of it is alive and no file of it is left."""

    outcome: Outcome
    reason: str  # in words for people; empty after a success
    exit_code: int | None  # pytest's; negative: the signal that ended it; None: it never started, or was killed
    results: list[TestResult] = field(default_factory=list)
    junit_xml: bytes = b""  # pytest's own if it wrote a whole one, else made from `results`; always well-formed
    sandbox: str = ""  # the walls in force, in words: "own processes, read-only files, own user; 2 GiB memory, …"
    all_ran: bool = False  # the report is whole, and every test that was collected has told how it ended
    log_bytes: int = 0  # written by the tests
    log_dropped: int = 0  # of these, left out in the middle
    seconds: float = 0.0


class Report:
    """pytest's report, line by line (pytest-reportlog's, and the two kinds that `inside.py` adds)."""

    def __init__(
        self,
        on_result: Callable[[TestResult], None],
        *,
        most_bytes: int,
        most_results: int,
        prefix: str = "",
        mask: Mask = Mask(),  # noqa: B008 - without secrets it holds nothing
    ) -> None:
        self._on_result, self._bytes_left, self._most_results = on_result, most_bytes, most_results
        self._told, self._prefix, self._mask = 0, prefix, mask
        self._partial = b""
        self._ids: dict[str, str] = {}  # pytest's own, or a digest of it → the one that is told
        self._alike: Counter[str] = Counter()  # how many tests would be told by this id
        self._open: dict[str, dict[str, Any]] = {}  # tests that have started and not ended
        self.results: list[TestResult] = []
        self.collected: int | None = None
        self.uncollectable: list[str] = []  # files, each with its problem
        self.exit_status: int | None = None  # as pytest itself wrote it at its end
        self.unfinished = 0  # tests that started and never ended; they have a result all the same
        self.problem = ""  # why this report says nothing

    @property
    def ended(self) -> int:
        """How many tests came to their end."""
        return len(self.results) - self.unfinished

    @property
    def is_whole(self) -> bool:
        """Whether every test that was collected has told how it ended, and pytest that it did."""
        faults = self.problem or self.uncollectable or self.exit_status is None
        return not faults and bool(self.collected) and self.collected == self.ended

    def write(self, raw: bytes) -> None:
        """Take in a piece of the report."""
        self._bytes_left -= len(raw)
        if self._bytes_left < 0:
            self._give_up("it is too large")
        if self.problem:
            return
        *lines, self._partial = (self._partial + raw).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._partial) > LINE_BYTES:
            self._give_up("a line of it is too long")
        self._tell()

    def close(self) -> None:
        """Count whoever has not ended as an error."""
        if self._partial:
            self._give_up("it ends in the middle of a line")
        self.unfinished = len(self._open)
        for nodeid, test in self._open.items():
            test.update(outcome="error", message="The run ended before this test did.")
            self._add(nodeid, test)
        self._open.clear()
        self._tell()

    def _give_up(self, why: str) -> None:
        self.problem, self._partial = self.problem or why, b""

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            kind = record.get("$report_type")
            if act := self._kinds.get(kind):
                act(self, record)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
            self._give_up("a line of it is not what pytest writes")

    def _started(self, record: dict[str, Any]) -> None:
        self._open_test(record)

    def _open_test(self, record: dict[str, Any]) -> dict[str, Any]:
        nodeid = self._id_of(record)
        if nodeid not in self._open and len(self._open) >= 100:
            raise ValueError("pytest runs one test after the other")
        return self._open.setdefault(nodeid, {"outcome": "passed", "seconds": 0.0, "message": "", "details": ""})

    def _id_of(self, record: dict[str, Any]) -> str:
        """The id by which this test is told: see `TestResult.nodeid`."""
        whole = str(record["nodeid"]).replace("\0", "")
        key = shortened(whole, NODEID)
        if key not in self._ids:
            told = shortened(self._mask.text(self._prefix + whole), NODEID)
            self._alike[told] += 1
            again = self._alike[told]
            self._ids[key] = told if again == 1 else shortened(f"{told}~{again}", NODEID)
        return self._ids[key]

    def _collected(self, record: dict[str, Any]) -> None:
        self.collected = int(record["count"])

    def _collect_report(self, record: dict[str, Any]) -> None:
        if record["outcome"] == "failed" and len(self.uncollectable) < 100:
            message, _ = self._explained(record.get("longrepr"))
            self.uncollectable.append(f"{self._text(record['nodeid'], NODEID)}: {message}")

    def _test_report(self, record: dict[str, Any]) -> None:
        test = self._open_test(record)
        when, outcome = record["when"], _outcome(record)
        test["seconds"] = min(test["seconds"] + max(0.0, float(record.get("duration") or 0.0)), LONGEST)
        if _WORSE.index(outcome) > _WORSE.index(test["outcome"]):
            test["outcome"] = outcome
            test["message"], test["details"] = self._explained(record.get("longrepr"))
            if outcome in ("xfailed", "xpassed"):
                test["message"] = self._text(record.get("wasxfail") or "", MESSAGE)
        if when == "teardown":
            nodeid = self._id_of(record)
            self._add(nodeid, self._open.pop(nodeid))

    def _session_finish(self, record: dict[str, Any]) -> None:
        self.exit_status = int(record["exitstatus"])

    def _add(self, nodeid: str, test: dict[str, Any]) -> None:
        if len(self.results) >= self._most_results:
            self._give_up("it has too many tests")
        else:
            self.results.append(TestResult(nodeid=nodeid, **test))

    def _tell(self) -> None:
        while self._told < len(self.results):  # outside of every `except`: the caller's problems are the caller's
            self._told += 1
            self._on_result(self.results[self._told - 1])

    def _explained(self, longrepr: Any) -> tuple[str, str]:
        """Return the one line and the traceback of what pytest calls the long representation of a problem."""
        if isinstance(longrepr, list) and len(longrepr) == 3:  # skipped: file, line, reason
            return self._text(longrepr[2], MESSAGE), ""
        if not isinstance(longrepr, dict):
            text = str(longrepr or "")
            lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()[-1:]
            return self._text(lines[0].removeprefix("E").strip() if lines else "", MESSAGE), self._text(text, DETAILS)
        crash = longrepr.get("reprcrash") or {}
        message = str(crash.get("message") or "").partition("\n")[0]
        entries = (longrepr.get("reprtraceback") or {}).get("reprentries") or []
        lines = [str(line) for entry in entries[-50:] for line in (entry["data"].get("lines") or [])[-1_000:]]
        where = f"{crash['path']}:{crash['lineno']}: " if "path" in crash else ""
        text = "\n".join(lines)
        details = f"{where}{crash.get('message') or ''}\n\n{text}".strip()
        return self._text(message, MESSAGE), self._text(details, DETAILS)

    def _text(self, value: Any, most: int) -> str:
        """Return at most so many characters that every database and page can hold, without secrets.

        What is hidden is hidden before anything is cut.
        """
        text = self._mask.text(str(value).replace("\0", ""))
        return text if len(text) <= most else text[: most - 1] + "…"

    _kinds: ClassVar[dict[str, Callable[[Report, dict[str, Any]], None]]] = {
        "Started": _started,
        "Collected": _collected,
        "CollectReport": _collect_report,
        "TestReport": _test_report,
        "SessionFinish": _session_finish,
    }


_WORSE = ["passed", "xpassed", "xfailed", "skipped", "failed", "error"]


def _outcome(record: dict[str, Any]) -> str:
    """Return what one phase of a test says about it: a failed set-up or teardown is an error, not a failure."""
    outcome = record["outcome"]
    if outcome == "failed":
        return "failed" if record["when"] == "call" else "error"
    if "wasxfail" in record:
        return "xpassed" if outcome == "passed" else "xfailed"
    if outcome in ("passed", "skipped"):
        return str(outcome)
    raise ValueError("no outcome that pytest knows")
