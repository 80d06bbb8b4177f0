"""Page, REST, JUnit report and bare pytest agree about each test, the counts and the run's status."""

import html
import os
import re

import pytest
from django.test import Client

from testrunner import services
from testrunner.files.snapshot import Snapshot
from testrunner.models import TestRun
from testrunner.sandbox.results.nodeids import shortened
from testrunner.sandbox.results.outcome import MAX_NODEID
from testrunner.sandbox.results.plain_text import plain
from testrunner.tests.agreement import bare, outcomes, places, processes
from testrunner.tests.agreement.case import Case
from testrunner.worker import runner

CASES = [*outcomes.CASES, *places.CASES, *processes.CASES]
# Some quick cases, and those from bug reports.
QUICK = {"unittest subTest", "teardown error beside a failing call", "module skipped", "helpers beside the test"}
pytestmark = pytest.mark.django_db(transaction=True)


def each_case() -> list:
    marks = {case.name: () if case.name in QUICK else (pytest.mark.thorough,) for case in CASES}
    return [pytest.param(case, id=case.name, marks=marks[case.name]) for case in CASES]


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """One folder for all runs, so that the isolation trial is made only once."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(tester, environment, settings, root):
    """Run a case as a user does: queued, claimed, executed in isolation."""
    settings.TESTRUN_DIR = str(root)

    def run(case: Case) -> TestRun:
        chosen = [Snapshot(bare.ROOT, path, content) for path, content in case.contents.items() if path in case.tests]
        others = [
            Snapshot(bare.ROOT, path, content, comes_along=True)
            for path, content in case.contents.items()
            if path not in case.tests
        ]
        made = services.start_run(user=tester, environment=environment, files=[*chosen, *others], wall_seconds=100)
        assert runner.execute_runs("agreement") == 1
        made.refresh_from_db()
        return made

    return run


@pytest.mark.parametrize("case", each_case())
def test_opsroom_agrees_with_bare_pytest(case: Case, run, tmp_path, tester_api, as_tester):
    said = bare.ask(case, tmp_path / "bare")

    made = run(case)

    log = b"".join(bytes(chunk.data) for chunk in made.log.order_by("offset")).decode()[-4000:]
    expected = {as_stored(nodeid): outcome for nodeid, outcome in said.outcomes.items()}
    if case.unfinished:
        expected[f"{bare.ROOT}/test_it.py::{case.unfinished}"] = "error"
    by_rest = results_by_rest(tester_api, made)
    assert by_rest == expected, log
    assert made.status == (case.state or said.state), (made.reason, log)
    assert counts_of(made) == expected_counts(expected, said.double)
    agree_with_the_last_line(case, said, made)
    assert results_by_page(as_tester, made).items() <= expected.items()
    assert "\x1b" not in str(list(made.results.values_list("message", "details"))) + made.junit_xml
    assert "#x1B[" not in made.junit_xml
    if said.junit is not None:
        never_ended = [(f"{bare.ROOT}.test_it", case.unfinished, ["error"])] if case.unfinished else []
        named = [each for each in said.junit if each != ("", "", [])]  # an interrupted test case has no name
        assert bare.junit_of(made.junit_xml.encode()) == [*named, *never_ended]


def as_stored(nodeid: str) -> str:
    whole = plain(nodeid).replace("\n", " ")
    return shortened(shortened(whole, MAX_NODEID))


def results_by_rest(api, run: TestRun) -> dict[str, str]:
    answer = api.get(f"/test-runs/{run.pk}/").json()
    found = {result["nodeid"]: result["outcome"] for result in answer["results"]}
    assert len(found) == len(answer["results"]) == answer["tests"]
    assert answer["status"] == run.status
    return found


def results_by_page(client: Client, run: TestRun) -> dict[str, str]:
    """Return the outcomes of the first results, as the run's page shows them."""
    page = client.get(f"/admin/testrunner/testrun/{run.pk}/change/").content.decode()
    words = {"failed as expected": "xfailed", "passed unexpectedly": "xpassed"}
    found = {}
    for item in re.findall(
        r"<li>(.*?)</li>", page.partition('class="testrunner-results"')[2].partition("</ul>")[0], re.S
    ):
        state = re.sub("<[^>]*>", " ", item.partition('<a class="testrunner-result__name')[0]).split()
        name = re.search(r"testrunner-result__name[^>]*>(.*?)</a>", item, re.S)
        outcome = " ".join(word for word in state if not re.match("^[a-z_]+$", word) or len(state) > 1)
        found[html.unescape(name[1])] = _known(outcome.lower(), words)
    return found


def _known(words: str, known: dict[str, str]) -> str:
    for long, short in known.items():
        if long in words:
            return short
    return words.split()[-1]


def counts_of(run: TestRun) -> dict[str, int]:
    return run.counts


def expected_counts(outcomes: dict[str, str], double: set[str]) -> dict[str, int]:
    of = list(outcomes.values()).count
    return {
        "tests": len(outcomes),
        "passed": of("passed") + of("xpassed"),
        "failed": of("failed"),
        "skipped": of("skipped") + of("xfailed"),
        "errors": of("error") + len(double),
    }


def agree_with_the_last_line(case: Case, said: bare.Said, run: TestRun) -> None:
    """Compare the counts with pytest's last line.

    A test that passed and whose teardown failed is an error in Opsroom; pytest counts it as both.
    """
    if case.subtests or case.repeats or case.other_words or case.unfinished or not said.counts:
        return
    assert run.failed == said.counts.get("failed", 0)
    assert run.errors == said.counts.get("error", 0)
    if not run.errors:
        assert run.passed == said.counts.get("passed", 0) + said.counts.get("xpassed", 0)
        assert run.skipped == said.counts.get("skipped", 0) + said.counts.get("xfailed", 0)


def test_the_corpus_is_large_and_its_cases_have_names_of_their_own():
    assert len({case.name for case in CASES}) == len(CASES) >= 100
    assert {case.name for case in CASES} >= QUICK
    assert os.path.dirname(bare.__file__).endswith("agreement")
