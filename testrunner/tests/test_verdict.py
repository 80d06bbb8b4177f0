import pytest

from testrunner.sandbox.results.outcome import Finished, Outcome
from testrunner.worker.runner import STOPPED, verdict

NOTHING = {"tests": 0, "passed": 0, "failed": 0, "skipped": 0, "errors": 0}
DOUBT = "The tests' report does not fit the exit code."


@pytest.mark.parametrize(
    ("finished", "counts", "expected"),
    [
        (Finished(Outcome.SUCCESS, "", 0), {"tests": 1, "passed": 1}, ("success", "")),
        (Finished(Outcome.SUCCESS, "", 0), {}, ("error", DOUBT)),
        (Finished(Outcome.SUCCESS, "", 1), {"tests": 1, "passed": 1}, ("error", DOUBT)),
        (Finished(Outcome.SUCCESS, "", 0), {"tests": 2, "passed": 1, "failed": 1}, ("error", DOUBT)),
        (Finished(Outcome.FAILED, "1 of 2 tests failed.", 1), {"tests": 2}, ("failed", "1 of 2 tests failed.")),
        (Finished(Outcome.ERROR, "No tests were found.", 5), {}, ("error", "No tests were found.")),
        (Finished(Outcome.TIMED_OUT, "", None), {}, ("timed_out", "The tests ended: timed_out.")),
        (Finished(Outcome.CANCELLED, "Cancelled by tess.", None), {}, ("cancelled", "Cancelled by tess.")),
        (Finished(Outcome.CANCELLED, STOPPED, None), {}, ("lost", STOPPED)),
    ],
)
def test_every_end_has_its_status_and_its_reason(finished, counts, expected):
    assert verdict(finished, NOTHING | counts) == expected
