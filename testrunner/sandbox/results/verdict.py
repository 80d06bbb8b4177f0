"""Outcome of a run. A success needs exit code 0, a complete report, at least one test, and a result for each test."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from testrunner.sandbox.isolation import RunLimits, size
from testrunner.sandbox.results.outcome import Outcome, Stop
from testrunner.sandbox.results.report import ReportReader

NO_TESTS, USAGE, INTERNAL, INTERRUPTED = 5, 4, 3, 2  # pytest's exit codes
# Texts in error messages, each with advice.
HINTS = {
    "settings are not configured": "Django's test classes need a Django project with settings and a database, which a "
    "run does not have. Use unittest.TestCase, or test the deployed application over HTTP.",
    "Database access not allowed": "A run has no database for Django's models.",
}


def stop_in_effect(stop: Stop | None, messages: Mapping[str, Any], limits: RunLimits) -> Stop | None:
    """Return why a run was stopped: by the worker (`stop`), or by the supervisor for a limit; None if it ended by
    itself.

    `messages` are the supervisor's. A stop that comes when pytest has just ended by itself has no effect.
    """
    if "ended" in messages:
        return Stop(Outcome.ERROR, _exceeded(messages["ended"], limits))
    ended_before = messages.get("exit") is not None and not messages.get("stopped", True)
    return None if stop and ended_before and stop.outcome is not Outcome.ERROR else stop


def verdict(
    report: ReportReader,
    exit_code: int | None,
    *,
    stop: Stop | None = None,
    limits: RunLimits = RunLimits(),  # noqa: B008 - immutable
    failed_to_start: str = "",
) -> tuple[Outcome, str]:
    """Return the outcome of a run, and the reason as text."""
    if stop:
        return stop.outcome, stop.reason
    if failed_to_start:
        return Outcome.ERROR, f"The tests could not be started: {failed_to_start}"
    if exit_code is None:
        return Outcome.ERROR, "The tests were ended from outside."
    if exit_code < 0:
        return Outcome.ERROR, _signalled(-exit_code, report, limits)
    if report.problem:
        return Outcome.ERROR, f"The report of the tests cannot be read: {report.problem}."
    if report.uncollectable:
        files = _count(len(report.uncollectable), "file")
        return Outcome.ERROR, _hinted(f"{files} could not be read: {report.uncollectable[0]}", report)
    if exit_code in (USAGE, INTERNAL, INTERRUPTED):
        return Outcome.ERROR, _broken(exit_code, report.why)
    all_skipped = bool(report.results) and all(result.outcome == "skipped" for result in report.results)
    if exit_code == report.exit_status == NO_TESTS and all_skipped:
        return Outcome.SUCCESS, ""  # all modules were skipped
    if exit_code == NO_TESTS or report.collected == 0:
        return Outcome.ERROR, "No tests were collected."
    if report.exit_status is None:
        words = f"pytest ended before its report did (exit code {exit_code}){_where(report)}"
        return Outcome.ERROR, f"{words}: did a test call os._exit()?"
    return _counted(report, exit_code)


def _counted(report: ReportReader, exit_code: int) -> tuple[Outcome, str]:
    outcomes = [result.outcome for result in report.results]
    all_tests = _count(max(report.collected or 0, len(report.ended)), "test")
    missing = (report.collected or 0) - len(report.ended)
    rest = f" {missing} did not run, because pytest stopped before." if missing > 0 else ""
    if failed := outcomes.count("failed"):
        return Outcome.FAILED, f"{failed} of {all_tests} failed.{rest}"
    if report.running or (missing > 0 and report.exit_status == 0):
        why = f" ({report.why})" if report.why else ""
        return Outcome.ERROR, f"Only {len(report.ended)} of {all_tests} ended{why}: did one of them end pytest?"
    if broken := outcomes.count("error"):
        return Outcome.ERROR, _hinted(f"The set-up or teardown of {broken} of {all_tests} failed.{rest}", report)
    if exit_code != 0 or report.exit_status != 0 or not report.is_whole:
        return Outcome.ERROR, f"No test failed, but pytest's exit code is {exit_code}."
    return Outcome.SUCCESS, ""


def _exceeded(what: str, limits: RunLimits) -> str:
    if what == "memory":
        return f"The run's processes occupied more than {size(limits.total_memory_bytes)} of memory together."
    if what == "disk":
        return f"The run's deleted files occupied more than {size(limits.disk_bytes)}."
    return "What the run's processes hold could not be measured, so they were ended."


def _hinted(reason: str, report: ReportReader) -> str:
    messages = [result.message for result in report.results if result.outcome == "error"]
    for words, hint in HINTS.items():
        if any(words in message for message in messages):
            return f"{reason} {hint}"
    return reason


def _broken(exit_code: int, why: str) -> str:
    if exit_code == INTERNAL and why.startswith("SystemExit"):
        return f"A file called sys.exit() while it was imported ({why}): see the log."
    if why.startswith("pytest.exit"):
        return f"A test ended pytest ({why}; exit code {exit_code}): see the log."
    words = {USAGE: "pytest could not be set up", INTERNAL: "pytest broke", INTERRUPTED: "pytest was interrupted"}
    return f"{words[exit_code]} (exit code {exit_code}){f': {why}' if why else ''}: see the log."


def _signalled(number: int, report: ReportReader, limits: RunLimits) -> str:
    where = _where(report)
    if number == signal.SIGXCPU:
        return f"The tests used up their {limits.cpu_seconds} s of processor time{where}."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    return f"pytest was ended by signal {number} ({name}){where}."


def _where(report: ReportReader) -> str:
    return f" in {report.running[0]}" if report.running else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
