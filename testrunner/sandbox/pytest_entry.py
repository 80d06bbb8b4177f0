"""The program of the child: `python -m pytest` with a plugin that reports to the worker, one line of JSON per event.

The executor hands this file over as text (`python -c`), so that the child needs to read nothing of the project. The
first two arguments are the descriptors of the report and of the JUnit XML, the others are pytest's.

What pytest makes of a report is asked of pytest itself (`pytest_report_teststatus`), as its terminal does, so subtests,
reruns and the outcomes of other plugins are understood. Long texts are cut here, before they are written. The worker
hides secrets and says how much was cut.
"""

import json
import os
import re
import sys
from typing import Any

import pytest

# Bound now, because tests may replace these functions.
write, getpid, encode = os.write, os.getpid, json.JSONEncoder(ensure_ascii=False).encode
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
HEAD, TAIL = 48 * 2**10, 16 * 2**10  # characters kept of one text
SHORT = 500  # characters kept of both ends once ROOM is used up
ROOM = 24 * 2**20  # bytes of the report with texts of full length
MAX_ID_LENGTH = 1_000  # characters: longer ids keep their beginning and a digest


class ReportWriter:
    """Writes the report. Each line begins on a line of its own, so one that was interrupted spoils no other."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.process, self.room, self.why = descriptor, getpid(), ROOM, ""
        self.config: Any = None
        os.set_inheritable(descriptor, False)

    def line(self, kind: str, **more: object) -> None:
        if getpid() != self.process:
            return  # a test has forked, and its child came back to pytest
        content = b"\n" + encode({"kind": kind, **more}).encode(errors="replace") + b"\n"
        self.room -= len(content)
        while content:
            content = content[write(self.descriptor, content) :]

    def cut(self, text: str) -> list[str | int]:
        head, tail = (HEAD, TAIL) if self.room > 0 else (SHORT, SHORT)
        text = ESCAPES.sub("", text)
        if len(text) <= head + tail:
            return [text, "", 0]
        return [text[:head], text[-tail:], len(text) - head - tail]

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        sys.stdout = sys.__stdout__

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            message, text = explained(report)
            self.line(
                "uncollected", id=short(report.nodeid), outcome=report.outcome, message=message, text=self.cut(text)
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.line("collected", count=len({item.nodeid for item in session.items}))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.line("started", id=short(nodeid))

    @pytest.hookimpl(trylast=True)  # after the terminal, which lets a test with failed subtests fail
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        category = self.config.hook.pytest_report_teststatus(report=report, config=self.config)[0]
        outcome, when = str(report.outcome), str(report.when)
        message, text = ("", "") if outcome == "passed" else explained(report)
        if hasattr(report, "wasxfail"):
            message = report.wasxfail
        describe = getattr(report, "_sub_test_description", None)
        self.line(
            "report", id=short(report.nodeid), when=when, outcome=outcome, category=str(category),
            seconds=report.duration, expected=hasattr(report, "wasxfail"), message=str(message)[:HEAD],
            text=self.cut(text), subtest=describe()[:MAX_ID_LENGTH] if describe else "",
        )  # fmt: skip

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.line("ended", id=short(nodeid))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.why = excinfo.exconly().replace("_pytest.outcomes.Exit", "pytest.exit")

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.why = excinfo.exconly().replace("_pytest.outcomes.Exit", "pytest.exit")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        result = yield
        self.line("finished", status=int(session.exitstatus), why=str(self.why)[:MAX_ID_LENGTH])
        return result


def short(nodeid: str) -> str:
    """The id, or its beginning and a digest of all of it: as testrunner/sandbox/results/nodeids.py does it."""
    if len(nodeid) <= MAX_ID_LENGTH:
        return nodeid
    from hashlib import sha256

    return f"{nodeid[: MAX_ID_LENGTH - 17]}~{sha256(nodeid.encode(errors='replace')).hexdigest()[:16]}"


def explained(report: Any) -> tuple[str, str]:
    """One line and the whole text of what went wrong, as pytest prints it: with causes, file and line."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:  # skipped: file, line, reason
        return str(longrepr[2]), ""
    try:
        text = report.longreprtext
    except Exception as error:
        text = f"pytest could not describe what went wrong: {type(error).__name__}"
    crash = getattr(longrepr, "reprcrash", None)
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")] or text.splitlines()[-1:]
    message = str(crash.message).strip() if crash is not None else "".join(lines[:1])
    return ESCAPES.sub("", message.partition("\n")[0][:HEAD]), text


if __name__ == "__main__":
    report, junit = sys.argv[1:3]
    arguments = [f"--junitxml=/dev/fd/{junit}", *sys.argv[3:]]
    if sys.flags.isolated:
        sys.path.insert(0, os.getcwd())  # as `python -m pytest` does
        # And as it does in a test's own folder, so that helpers are found beside a test that is in a package.
        tests = sys.argv[sys.argv.index("--") + 1 :]
        sys.path += sorted({os.path.abspath(os.path.dirname(test.partition("::")[0])) for test in tests})
    sys.argv = [os.path.join(os.path.dirname(pytest.__file__), "__main__.py"), *sys.argv[3:]]
    # pytest's terminal writes to a stream of its own, as it does when it captures: a test may close its output.
    sys.stdout = open(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115
    sys.exit(pytest.main(arguments, plugins=[ReportWriter(int(report))]))
