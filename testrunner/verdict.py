"""What a run came to: success needs exit code 0 *and* a whole report *and* a test *and* a result for each test."""

from __future__ import annotations

import signal

from testrunner.results import Outcome, Report

NO_TESTS, USAGE, INTERNAL, INTERRUPTED = 5, 4, 3, 2  # pytest's exit codes


def verdict(
    report: Report, exit_code: int | None, *, failed_to_start: str = "", cpu_seconds: int = 0
) -> tuple[Outcome, str]:
    """Return the outcome of a run that came to its own end, and the reason in words."""
    if failed_to_start:
        return Outcome.ERROR, f"The tests could not be started: {failed_to_start}"
    if exit_code is None:
        return Outcome.ERROR, "The tests were ended from outside."
    if exit_code < 0:
        return Outcome.ERROR, _signalled(-exit_code, cpu_seconds)
    if report.problem:
        return Outcome.ERROR, f"The report of the tests cannot be read: {report.problem}."
    if report.uncollectable:
        return (
            Outcome.ERROR,
            f"{_count(len(report.uncollectable), 'file')} could not be read: {report.uncollectable[0]}",
        )
    if exit_code == NO_TESTS or report.collected == 0:
        return Outcome.ERROR, "No tests were collected."
    if exit_code in (USAGE, INTERNAL, INTERRUPTED):
        words = {USAGE: "pytest could not be set up", INTERNAL: "pytest broke", INTERRUPTED: "pytest was interrupted"}
        return Outcome.ERROR, f"{words[exit_code]} (exit code {exit_code}): see the log."
    if report.exit_status is None:
        return Outcome.ERROR, f"pytest ended before its report did (exit code {exit_code}): did a test call os._exit()?"
    return _counted(report, exit_code)


def _counted(report: Report, exit_code: int) -> tuple[Outcome, str]:
    if not report.is_whole:
        told = f"{report.ended} of {_count(report.collected or 0, 'test')}"
        return Outcome.ERROR, f"pytest told of {told} how it ended: did one of them end pytest?"
    outcomes = [result.outcome for result in report.results]
    if failed := outcomes.count("failed"):
        return Outcome.FAILED, f"{failed} of {_count(len(outcomes), 'test')} failed."
    if broken := outcomes.count("error"):
        return Outcome.ERROR, f"The set-up or teardown of {broken} of {_count(len(outcomes), 'test')} failed."
    if exit_code != 0 or report.exit_status != 0:
        return Outcome.ERROR, f"No test failed, but pytest's exit code is {exit_code}."
    return Outcome.SUCCESS, ""


def _signalled(number: int, cpu_seconds: int) -> str:
    if number == signal.SIGXCPU:
        return f"The tests used up their {cpu_seconds} s of processor time."
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unknown"
    return f"pytest was ended by signal {number} ({name})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
