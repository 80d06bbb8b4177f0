"""Program of the child: `python -m pytest` with a plugin that reports to the worker, one line of JSON per event.

The executor passes this file as text (`python -c`), so that the child does not need to read the project. The first two
arguments are the descriptors of the report and of the JUnit XML. The others are pytest's.

The category of a report comes from pytest itself (`pytest_report_teststatus`), as in its terminal, so subtests, reruns
and the outcomes of other plugins are supported. Long texts are cut here, before they are written. The worker redacts
secrets and states how much was cut.
"""

import json
import os
import re
import sys
from typing import Any

import pytest

# Bound at import, because tests may replace these functions.
write, getpid, encode = os.write, os.getpid, json.JSONEncoder(ensure_ascii=False).encode
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
HEAD, TAIL = 48 * 2**10, 16 * 2**10  # characters kept of each text, from its beginning and its end
SHORT = 500  # characters kept of each end once ROOM is used up
ROOM = 24 * 2**20  # bytes of the report that may hold texts of full length
MAX_ID_LENGTH = 1_000  # characters; a longer id is cut and ends in a digest


class ReportWriter:
    """Plugin that writes the report. Each record begins on a new line, so an interrupted record does not spoil the
    next.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.process, self.room, self.why = descriptor, getpid(), ROOM, ""
        self.config: Any = None
        os.set_inheritable(descriptor, False)

    def line(self, kind: str, **more: object) -> None:
        if getpid() != self.process:
            return  # a test has forked, and its child returned to pytest's code
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

    @pytest.hookimpl(trylast=True)  # after the terminal plugin, which fails a test with failed subtests
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
    """Return the id; a longer one is cut and ends in a digest, as in testrunner/sandbox/results/nodeids.py."""
    if len(nodeid) <= MAX_ID_LENGTH:
        return nodeid
    from hashlib import sha256

    return f"{nodeid[: MAX_ID_LENGTH - 17]}~{sha256(nodeid.encode(errors='replace')).hexdigest()[:16]}"


def explained(report: Any) -> tuple[str, str]:
    """Return the failure as one line and as the whole text that pytest prints, with causes, file and line."""
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
        # `python -m pytest` also finds helpers beside a test; the folders are added for tests inside a package.
        tests = sys.argv[sys.argv.index("--") + 1 :]
        sys.path += sorted({os.path.abspath(os.path.dirname(test.partition("::")[0])) for test in tests})
    sys.argv = [os.path.join(os.path.dirname(pytest.__file__), "__main__.py"), *sys.argv[3:]]
    # pytest's terminal gets a stream of its own, as with capturing, because a test may close its output.
    sys.stdout = open(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115
    sys.exit(pytest.main(arguments, plugins=[ReportWriter(int(report))]))
