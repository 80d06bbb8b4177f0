"""Reader of pytest's report, line by line while the child writes it (pytest_entry.py).

A hostile test can write into its own report. So everything here has a size limit, and no input is assumed to be
well-formed. Results are only as trustworthy as the file that was run. A line that cannot be read does not affect other
lines.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.nodeids import shortened
from testrunner.sandbox.results.outcome import MAX_DETAILS, MAX_DURATION, MAX_MESSAGE, MAX_NODEID, TestOutcome
from testrunner.sandbox.results.phases import PHASES, Phase, RunningTest, cut_middle, left_out, one_line
from testrunner.sandbox.results.plain_text import plain

MAX_LINE_BYTES = 2**20  # the child keeps its lines below half of that
MAX_OPEN = 100  # tests open at a time; pytest runs them one after the other
MAX_DETAILS_BYTES = 32 * 2**20  # characters of all tests' details; after that, each has at most MAX_MESSAGE characters


class ReportReader:
    """Reads the report and passes on the result of each test when it ends."""

    def __init__(
        self,
        on_result: Callable[[TestOutcome], None],
        *,
        max_bytes: int,
        max_results: int,
        prefix: str = "",
        redactor: Redactor = Redactor(),  # noqa: B008 - without secrets it has no state
    ) -> None:
        self._on_result, self._bytes_left, self._max_results = on_result, max_bytes, max_results
        self._prefix, self._redactor = prefix, redactor
        self._partial, self._is_skipping = b"", False
        self._ids: dict[str, str] = {}  # pytest's id, or its shortened form → the stored id
        self._alike: Counter[str] = Counter()  # how many tests would have the same stored id
        self._open: dict[str, RunningTest] = {}  # tests that have started and not ended
        self._again: dict[str, RunningTest] = {}  # tests that ended and did not pass: they may be rerun
        self._waiting: list[TestOutcome] = []
        self._details_left = MAX_DETAILS_BYTES
        self._by_id: dict[str, TestOutcome] = {}
        self.collected: int | None = None
        self.uncollectable: list[str] = []  # files, each with its problem
        self.exit_status: int | None = None  # as pytest itself wrote it at its end
        self.why = ""  # why pytest was interrupted, or broke
        self.running: list[str] = []  # tests that started and never ended; each has a result, too
        self.ended: set[str] = set()  # the tests that ended
        self.unreadable = 0  # number of lines
        self.problem = ""  # why this report is unusable; empty if it is usable

    @property
    def results(self) -> list[TestOutcome]:
        """The results so far, one for each id."""
        return list(self._by_id.values())

    @property
    def is_whole(self) -> bool:
        """Whether every collected test has ended, and pytest has reported its own end."""
        faults = self.problem or self.uncollectable or self.exit_status is None
        return not faults and bool(self.collected) and self.collected == len(self.ended)

    def write(self, raw: bytes) -> None:
        """Process a piece of the report."""
        self._bytes_left -= len(raw)
        if self._bytes_left < 0:
            self.problem, self._partial = self.problem or "it is too large", b""
        if self.problem:
            return
        *lines, self._partial = (self._partial + raw).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._partial) > MAX_LINE_BYTES:
            self._partial, self._is_skipping = b"", True
        self._pass_on()

    def close(self) -> None:
        """Finish reading. Tests that have not ended count as errors."""
        self.unreadable += bool(self._partial) or self._is_skipping
        for nodeid in [nodeid for nodeid, test in self._open.items() if test.has_ended]:
            self._end(nodeid)
        self.running = list(self._open)
        for nodeid, test in self._open.items():
            self._add(test.result(nodeid, ended=False))
        self._open.clear()
        self._pass_on()

    def _take(self, line: bytes) -> None:
        if self._is_skipping or len(line) > MAX_LINE_BYTES:
            self._is_skipping = False
            self.unreadable += 1
            return
        if not line:
            return
        try:
            record = json.loads(line)
            self._kinds[record["kind"]](self, record)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
            self.unreadable += 1

    def _on_started(self, record: dict[str, Any]) -> None:
        self._open_test(record)

    def _open_test(self, record: dict[str, Any]) -> RunningTest:
        nodeid = self._id_of(record)
        if nodeid not in self._open:
            for other in [other for other, test in self._open.items() if test.has_ended]:
                self._end(other)  # some plugins run tests without reporting when each begins and ends
            if len(self._open) >= MAX_OPEN:
                raise ValueError("pytest runs one test after the other")
            self._open[nodeid] = self._again.pop(nodeid, RunningTest())
        return self._open[nodeid]

    def _id_of(self, record: dict[str, Any]) -> str:
        """Return the id under which this test is stored: see `TestOutcome.nodeid`."""
        whole = plain(str(record["id"])).replace("\n", " ")
        key = shortened(whole, MAX_NODEID)
        if key not in self._ids:
            if len(self._ids) > 2 * self._max_results:
                raise ValueError("more tests than a run can have")
            name = shortened(self._redactor.redact(self._prefix + whole), MAX_NODEID)
            self._alike[name] += 1
            again = self._alike[name]
            self._ids[key] = name if again == 1 else shortened(f"{name}~{again}", MAX_NODEID)
        return self._ids[key]

    def _on_collected(self, record: dict[str, Any]) -> None:
        self.collected = int(record["count"])

    def _on_uncollected(self, record: dict[str, Any]) -> None:
        nodeid, outcome = self._id_of(record) or "collection", record["outcome"]
        message, details = self._text(record["message"], MAX_MESSAGE), self._cut(record["text"])
        if outcome != "skipped":
            outcome = "error"
            if len(self.uncollectable) < MAX_OPEN:
                self.uncollectable.append(f"{nodeid}: {message}")
        self._add(TestOutcome(nodeid, outcome, message=message, details=details))

    def _on_report(self, record: dict[str, Any]) -> None:
        if record["when"] not in PHASES:
            raise ValueError("no phase of a test")
        seconds = float(record["seconds"])
        phase = Phase(
            when=record["when"],
            outcome=str(record["outcome"]),
            category=self._text(record["category"], 50),
            expected=bool(record["expected"]),
            subtest=self._text(record["subtest"], MAX_MESSAGE),
            seconds=min(max(0.0, seconds), MAX_DURATION) if math.isfinite(seconds) else 0.0,
            message=self._text(record["message"], MAX_MESSAGE),
            text=self._cut(record["text"]),
        )
        self._open_test(record).add(phase)

    def _on_ended(self, record: dict[str, Any]) -> None:
        self._end(self._id_of(record))

    def _end(self, nodeid: str) -> None:
        test = self._open.pop(nodeid)
        result = test.result(nodeid)
        if result.outcome != "passed":
            self._again[nodeid] = test
        self.ended.add(nodeid)
        self._add(result)

    def _on_finished(self, record: dict[str, Any]) -> None:
        self.exit_status, self.why = int(record["status"]), self._text(record["why"], MAX_MESSAGE)

    def _add(self, result: TestOutcome) -> None:
        if result.nodeid not in self._by_id and len(self._by_id) >= self._max_results:
            self.problem = self.problem or "it has too many tests"
            return
        most = MAX_DETAILS if self._details_left > 0 else MAX_MESSAGE
        if len(result.details) > most + 100:
            result = replace(result, details=cut_middle(result.details, most))
        self._details_left -= len(result.details)
        self._by_id[result.nodeid] = result
        self._waiting.append(result)

    def _pass_on(self) -> None:
        while self._waiting:  # outside every `except`, so that errors of the callback reach the caller
            self._on_result(self._waiting.pop(0))

    def _text(self, value: Any, most: int) -> str:
        """Return the value as one line of at most `most` characters, without secrets and terminal codes."""
        return one_line(self._redactor.redact(plain(str(value))).partition("\n")[0].strip(), most)

    def _cut(self, ends: Any) -> str:
        """Return a text that the child may have cut, with how much is missing.

        The text beside the cut is removed as far as a part of a secret could reach.
        """
        head, tail, missing = str(ends[0]), str(ends[1]), int(ends[2])
        head, tail = self._redactor.redact(plain(head)), self._redactor.redact(plain(tail))
        if missing <= 0:
            return head
        edge = self._redactor.max_length
        kept = head[: max(0, len(head) - edge)], tail[min(edge, len(tail)) :]
        missing += len(head) + len(tail) - len(kept[0]) - len(kept[1])
        return f"{kept[0]}\n{left_out(missing)}\n{kept[1]}"

    _kinds: ClassVar[dict[str, Callable[[ReportReader, dict[str, Any]], None]]] = {
        "started": _on_started,
        "collected": _on_collected,
        "uncollected": _on_uncollected,
        "report": _on_report,
        "ended": _on_ended,
        "finished": _on_finished,
    }
