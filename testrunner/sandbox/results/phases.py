"""State of one running test, built from pytest's reports: set-up, call, teardown, subtests, reruns, and the result."""

from __future__ import annotations

from dataclasses import dataclass, field

from testrunner.sandbox.results.outcome import MAX_DETAILS, MAX_DURATION, MAX_MESSAGE, TestOutcome

UNREADABLE = "pytest's report about this test is incomplete."
PHASES = ("setup", "call", "teardown")
_RANKS = ("passed", "xpassed", "xfailed", "skipped")


@dataclass(frozen=True)
class Phase:
    """One report of pytest about a test. `text` is the traceback as plain text."""

    when: str  # setup | call | teardown
    outcome: str  # passed | failed | skipped, or a plugin's own, such as rerun
    category: str  # pytest's category for counting; empty if it does not count
    expected: bool = False  # the report is about an expected failure
    subtest: str = ""  # the subtest's description
    seconds: float = 0.0
    message: str = ""
    text: str = ""

    @property
    def title(self) -> str:
        """The heading for this phase's text, used if there are several texts."""
        if self.subtest:
            return f"Subtest {self.subtest}"
        return {"setup": "Set-up", "call": "Call", "teardown": "Teardown"}[self.when]


@dataclass
class RunningTest:
    """Collects the phases of one test. As in pytest, a failed subtest counts by failing its test."""

    phases_seen: set[str] = field(default_factory=set)
    seconds: float = 0.0
    best: str = "passed"  # the outcome if nothing failed
    fails: bool = False  # the call failed
    breaks: bool = False  # set-up or teardown failed
    reruns: int = 0
    messages: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # (title, text) pairs
    size: int = 0  # characters of texts
    left_out: int = 0  # characters of texts that were dropped

    def add(self, phase: Phase) -> None:
        """Add one report."""
        self.seconds = min(self.seconds + phase.seconds, MAX_DURATION)
        if not phase.subtest:
            self.phases_seen.add(phase.when)
        self.reruns += phase.category == "rerun"
        if phase.outcome == "failed":
            self.fails |= phase.when == "call"
            self.breaks |= phase.when != "call"
        elif not phase.subtest:
            self._take_rank(_rank(phase))
        if phase.outcome != "passed" or phase.expected or phase.category not in KNOWN:
            self._explain(phase)

    @property
    def has_ended(self) -> bool:
        """Whether the teardown is over."""
        return "teardown" in self.phases_seen

    def result(self, nodeid: str, *, ended: bool = True) -> TestOutcome:
        """Return the result of the test. `ended` is False if the run ended before the test did."""
        outcome = "failed" if self.fails else "error" if self.breaks else self.best
        messages = list(self.messages)
        if not ended:
            outcome, messages = "error", ["The run ended before this test did.", *messages]
        elif not self._is_complete():
            outcome, messages = "error", [UNREADABLE, *messages]
        if self.reruns and outcome == "passed":
            messages = [f"passed after {self.reruns} rerun{'s' if self.reruns > 1 else ''}", *messages]
        return TestOutcome(
            nodeid=nodeid,
            outcome=outcome,
            seconds=self.seconds,
            message=one_line("; ".join(dict.fromkeys(messages)), MAX_MESSAGE),
            details=self._details(),
            fails_twice=outcome == "failed" and self.breaks,
        )

    def _is_complete(self) -> bool:
        """Whether all reports are present. The call may be missing if the set-up did not pass."""
        needs_call = not (self.breaks or self.best in ("skipped", "xfailed") or self.reruns)
        return {"setup", "teardown"} <= self.phases_seen and ("call" in self.phases_seen or not needs_call)

    def _take_rank(self, outcome: str) -> None:
        if _RANKS.index(outcome) > _RANKS.index(self.best):
            self.best = outcome

    def _explain(self, phase: Phase) -> None:
        message = phase.message
        if phase.category not in KNOWN:
            message = f"reported as {phase.category!r}: {message}" if message else f"reported as {phase.category!r}"
        if phase.subtest or (phase.when == "teardown" and self.messages):
            message = f"{phase.title[0].lower()}{phase.title[1:]}: {message}"
        if len(self.messages) < MAX_MESSAGES and message:
            self.messages.append(message)
        if phase.text and self.size > 2 * MAX_DETAILS:
            self.left_out += len(phase.text)
        elif phase.text:
            self.texts.append((phase.title, phase.text))
            self.size += len(phase.text)

    def _details(self) -> str:
        if len(self.texts) == 1 and self.texts[0][0] == "Call":
            text = self.texts[0][1]
        else:
            text = "\n\n".join(f"{f' {title} ':=^36}\n{text}" for title, text in self.texts)
        if self.left_out:
            text += f"\n\n{left_out(self.left_out)}"
        return cut_middle(text, MAX_DETAILS)


KNOWN = {"", "passed", "failed", "error", "skipped", "xfailed", "xpassed", "rerun", "subtests passed"}
MAX_MESSAGES = 20  # of one test


def _rank(phase: Phase) -> str:
    """Return the outcome that a phase without failure implies for its test. Other plugins' outcomes count as passed."""
    if phase.expected:
        return "xpassed" if phase.outcome == "passed" else "xfailed"
    return "skipped" if phase.outcome == "skipped" else "passed"


def left_out(count: int) -> str:
    return f"… {count:,} characters left out …"


def cut_middle(text: str, most: int) -> str:
    """Return the text; if it is longer than `most` characters, its beginning and end, and how much is missing between
    them.
    """
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]}\n{left_out(len(text) - head - tail)}\n{text[-tail:]}"


def one_line(text: str, most: int) -> str:
    """Return the text; if it is longer than `most` characters, its beginning and end with an ellipsis between them."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 3]} … {text[-tail:]}"
