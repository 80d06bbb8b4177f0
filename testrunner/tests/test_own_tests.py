"""The project's own tests work in the runner, too, on services of their own that end with the run."""

from dataclasses import replace
from pathlib import Path

import pytest

from testrunner.sandbox.results.outcome import Outcome
from testrunner.tests.running import SAMPLES, SHORT, processes_of, run

PROJECT = Path(__file__).parents[2]
PRODUCTION = replace(SHORT, wall_seconds=140)  # with the limits of memory, files and processes that every run has


@pytest.mark.chaos  # it starts a database within the run
@pytest.mark.timeout(150)
def test_a_test_of_the_project_gets_a_database_of_its_own(tmp_path):
    path = "testrunner/tests/test_database_of_its_own.py"
    own = (f"project/{path}", (PROJECT / path).read_bytes())

    ran = run(tmp_path, own, limits=PRODUCTION, project=PROJECT, hidden=[PROJECT, PROJECT / ".git"])

    assert ran.finished.outcome == Outcome.SUCCESS, ran.log.decode()
    assert [result.nodeid for result in ran.told] == [f"project/{path}::test_rows_can_be_written"]
    assert list(tmp_path.iterdir()) == []
    assert processes_of(ran.name) == []


def test_a_file_that_changed_since_it_was_chosen_is_not_run(tmp_path):
    ran = run(tmp_path, ("project/testrunner/tests/test_results.py", "assert False\n"), project=PROJECT)

    assert ran.finished.outcome == Outcome.ERROR
    assert ran.finished.reason == "project/testrunner/tests/test_results.py has changed since it was chosen."


def test_the_projects_tests_are_not_run_together_with_others(tmp_path):
    path = "testrunner/tests/test_results.py"

    ran = run(
        tmp_path, (f"project/{path}", (PROJECT / path).read_bytes()), SAMPLES / "test_success.py", project=PROJECT
    )

    assert ran.finished.outcome == Outcome.ERROR
    assert "need a run of their own" in ran.finished.reason
