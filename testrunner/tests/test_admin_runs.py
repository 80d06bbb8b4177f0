"""Admin pages: the table of runs, one run, and a new run."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testrunner.factories import ResultFactory, RunFactory
from testrunner.models import LogChunk, TestEnvironment, TestFile, TestResult, TestRun

pytestmark = pytest.mark.django_db
RUNS = "/admin/testrunner/testrun/"
GOOD = b"def test_it():\n    assert True\n"


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    return tmp_path / "uploads"


@pytest.fixture
def file(as_tester) -> TestFile:
    body = {"file": SimpleUploadedFile("test_it.py", GOOD), "directory": "smoke"}
    answer = as_tester.post("/admin/testrunner/testfile/upload/", body)
    assert answer.status_code == 201, answer.content
    return TestFile.objects.get(pk=answer.json()["id"])


def page_of(run: TestRun) -> str:
    return f"{RUNS}{run.pk}/change/"


TRACEBACK = "test_a.py:3: AssertionError\n\n>   assert <b>1</b> == 2"


# --- The table --------------------------------------------------------------------------------------
def test_the_table_tells_place_state_and_counts_of_every_run(as_viewer):
    RunFactory(failure=True, tests=3, passed=2, failed=1)
    RunFactory(running=True)
    RunFactory()

    page = as_viewer.get(RUNS).content.decode()

    assert "position 1" in page and "expected start" in page
    assert "2 passed" in page and "1 failed" in page
    assert page.count('class="state state-') >= 3
    assert 'data-live="testruns"' in page


def test_the_table_asks_as_often_for_many_runs_as_for_few(as_viewer, django_assert_max_num_queries):
    for environment in range(1, 21):
        RunFactory(environment_id=environment)
        RunFactory(success=True, environment_id=environment)

    with django_assert_max_num_queries(16):
        assert as_viewer.get(RUNS).status_code == 200


def test_an_empty_table_offers_the_first_run_to_who_may_start_one(as_tester, as_viewer):
    assert "Nothing has been run yet" in as_tester.get(RUNS).content.decode()
    assert "Start a run" in as_tester.get(RUNS).content.decode()
    assert "Start a run" not in as_viewer.get(RUNS).content.decode()


def test_a_stranger_sees_no_runs(as_stranger):
    run = RunFactory(success=True)

    for address in (RUNS, page_of(run), f"{RUNS}{run.pk}/log/", f"{RUNS}{run.pk}/live/", f"{RUNS}tests/"):
        assert as_stranger.get(address).status_code == 403, address


# --- One run ----------------------------------------------------------------------------------------
def test_who_waits_is_told_the_place_and_the_expected_start(as_viewer):
    RunFactory(running=True)
    run = RunFactory()

    page = as_viewer.get(page_of(run)).content.decode()

    assert "<strong>Position 1</strong>, expected start" in page


def test_failures_come_first_and_open_with_their_message_as_text(as_viewer):
    run = RunFactory(failure=True, tests=2, passed=1, failed=1)
    ResultFactory(run=run, name="test_a")
    ResultFactory(run=run, name="test_b", outcome="failed", message="assert <script>alert(1)</script>")

    page = as_viewer.get(page_of(run)).content.decode()

    assert page.index("test_b") < page.index("test_a")
    assert "assert &lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert(1)" not in page


def test_a_traceback_is_beside_its_test_and_read_when_it_is_unfolded(as_viewer, as_stranger):
    run, other = RunFactory(failure=True), RunFactory(failure=True)
    result = ResultFactory(run=run, outcome="failed", message="assert 1 == 2", details=TRACEBACK)
    ResultFactory(run=run, outcome="skipped", message="not today")

    page = as_viewer.get(page_of(run)).content.decode()
    address = f"{RUNS}{run.pk}/results/{result.pk}/"

    assert page.count("Traceback") == 1 and f'hx-get="{address}"' in page and "AssertionError" not in page
    assert "&gt;   assert &lt;b&gt;1&lt;/b&gt; == 2" in as_viewer.get(address).content.decode()
    assert as_viewer.get(f"{RUNS}{other.pk}/results/{result.pk}/").status_code == 404
    assert as_stranger.get(address).status_code == 403


def test_no_page_reads_all_tracebacks(as_viewer):
    run = RunFactory(failure=True)
    ResultFactory(run=run, outcome="failed", message="assert 1 == 2", details=TRACEBACK)

    for address in (page_of(run), f"{RUNS}{run.pk}/live/", f"{RUNS}tests/", f"{RUNS}tests/?test=test_one.py::test_0"):
        with CaptureQueriesContext(connection) as queries:
            as_viewer.get(address)

        asked = [query["sql"] for query in queries if "testrunner_testresult" in query["sql"]]
        assert asked and not [sql for sql in asked if re.search(r'"details"(,| FROM)', sql)], address


def test_the_log_is_read_by_range_from_byte_0(as_viewer):
    run = RunFactory(running=True, log_size=5)
    LogChunk.objects.create(run=run, offset=0, data=b"\x1b[31m<")

    answer = as_viewer.get(f"{RUNS}{run.pk}/log/", headers={"Range": "bytes=0-99"})

    assert (answer.status_code, b"".join(answer)) == (206, b"\x1b[31m<"[:5])
    assert answer["Content-Type"] == "text/plain; charset=utf-8"


def test_a_waiting_run_is_cancelled_after_a_question(as_tester, tester):
    run = RunFactory(created_by=tester)

    question = as_tester.get(f"{RUNS}{run.pk}/cancel/").content.decode()
    page = as_tester.post(f"{RUNS}{run.pk}/cancel/", follow=True).content.decode()

    run.refresh_from_db()
    assert "taken out of the queue" in question
    assert "It is taken out of the queue." in page and "being stopped" not in page
    assert run.status == TestRun.Status.CANCELLED
    assert "There is nothing left to cancel" in as_tester.get(f"{RUNS}{run.pk}/cancel/").content.decode()


def test_a_viewer_may_not_cancel_nor_rerun_nor_start(as_viewer):
    run = RunFactory(success=True)

    for address in (f"{RUNS}{run.pk}/cancel/", f"{RUNS}{run.pk}/rerun/", f"{RUNS}{run.pk}/rerun-failed/"):
        assert as_viewer.post(address).status_code == 403, address
    assert as_viewer.get(f"{RUNS}add/").status_code == 403


def test_nothing_is_changed_without_the_token_of_a_page(tester):
    client, run = Client(enforce_csrf_checks=True), RunFactory(created_by=tester)
    client.force_login(tester)

    for address in (f"{RUNS}{run.pk}/cancel/", f"{RUNS}add/", "/admin/testrunner/testfile/upload/"):
        assert client.post(address).status_code == 403, address


def test_a_finished_run_is_run_again_and_leads_to_the_new_one(as_tester, file):
    as_tester.post(f"{RUNS}add/", {"environment": 17, "tests": [file.pk], "watch": "1"})
    run = TestRun.objects.get()
    as_tester.post(f"{RUNS}{run.pk}/cancel/")

    answer = as_tester.post(f"{RUNS}{run.pk}/rerun/")

    again = TestRun.objects.latest("id")
    assert answer["Location"] == page_of(again)
    assert again.rerun_of == run
    refused = as_tester.post(f"{RUNS}{run.pk}/rerun-failed/", follow=True).content.decode()
    assert f"No test of run {run.pk} failed." in refused


def test_two_presses_of_rerun_are_one_run_and_two_questions_are_two(as_tester):
    run = RunFactory(success=True)

    def key() -> str:
        return re.search(r'name="request_key" value="(.+?)"', as_tester.get(f"{RUNS}{run.pk}/rerun/").content.decode())[
            1
        ]

    first, second = key(), key()
    for request_key in (first, first, second):
        as_tester.post(f"{RUNS}{run.pk}/rerun/", {"request_key": request_key})

    assert TestRun.objects.filter(rerun_of=run).count() == 2


# --- New run ----------------------------------------------------------------------------------------
def test_files_are_offered_as_a_tree_and_environments_with_their_state(as_tester, file):
    RunFactory(running=True, environment_id=17)
    RunFactory(environment_id=17)

    page = as_tester.get(f"{RUNS}add/", {"file": file.pk, "environment": 18}).content.decode()

    assert "Uploads / smoke" in page and "Sample tests" in page
    assert f'value="{file.pk}" checked' in page
    assert "Environment 17: busy, 1 waiting" in page
    assert '<option value="18" selected' in page


def test_who_chooses_an_environment_is_told_the_place_and_the_expected_start(as_tester, file, tester, colleague):
    RunFactory(running=True, environment_id=17, wall_seconds=600)
    RunFactory(environment_id=17, wall_seconds=60)
    RunFactory(running=True, environment_id=18, wall_seconds=600)
    RunFactory(environment_id=18, created_by=colleague)
    now = timezone.now()
    TestEnvironment.objects.filter(pk=18).update(
        reserved_by=tester, reserved_for=timedelta(hours=1), reserved_from=now, reserved_until=now + timedelta(hours=1)
    )
    TestEnvironment.objects.filter(pk=19).update(enabled=False)

    page = as_tester.get(f"{RUNS}add/").content.decode()

    words = re.findall(r'value="(?:17|18|19)"[^>]*data-words="(.*?)"', page)
    assert re.search(r"1 waits\. Yours would be number 2 in the queue, and start in about 10 min 5\d s\.$", words[0])
    assert re.search(r"Yours would be number 1 in the queue, and start in about 9 min 5\d s\.$", words[1])
    assert words[2] == "It is disabled: runs wait until it is enabled. Yours would be number 1 in the queue."
    assert 'data-words="It is free: the run starts now."' in page


def test_start_and_watch_leads_to_the_run(as_tester, file, tester):
    answer = as_tester.post(f"{RUNS}add/", {"environment": 17, "tests": [file.pk], "minutes": 2, "watch": "1"})

    run = TestRun.objects.get()
    assert answer["Location"] == page_of(run)
    assert (run.requested_by, run.created_by, run.wall_seconds) == ("tess", tester, 120)
    assert bytes(run.files.get().content) == GOOD


def test_start_leads_to_the_table_and_says_when_it_is_ones_turn(as_tester, file):
    RunFactory(environment_id=17)

    page = as_tester.post(f"{RUNS}add/", {"environment": 17, "tests": [file.pk]}, follow=True).content.decode()

    assert "is queued in Environment 17: position 2." in page


def test_the_same_form_sent_twice_is_one_run(as_tester, file):
    body = {"environment": 17, "tests": [file.pk], "request_key": uuid4(), "watch": "1"}

    first, second = as_tester.post(f"{RUNS}add/", body), as_tester.post(f"{RUNS}add/", body)

    assert first["Location"] == second["Location"]
    assert TestRun.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"environment": ""}, "Choose an environment."),
        ({"tests": []}, "Choose at least one test file."),
        ({"tests": [2**40]}, "One of the chosen files was deleted. Choose again."),
        ({"minutes": 100_000}, "Enter at most"),
    ],
)
def test_a_refused_form_keeps_what_was_typed(as_tester, file, change, words):
    body = {"environment": 17, "tests": [file.pk], "requested_by": "the night shift", **change}

    page = as_tester.post(f"{RUNS}add/", body).content.decode()

    assert words in page
    assert 'value="the night shift"' in page
    assert not TestRun.objects.exists()


def test_a_file_that_went_meanwhile_is_said_by_name(as_tester, file, uploads):
    (uploads / "smoke" / "test_it.py").unlink()

    page = as_tester.post(f"{RUNS}add/", {"environment": 17, "tests": [file.pk]}).content.decode()

    assert "One of the chosen files was deleted. Choose again." in page


# --- Tests over time --------------------------------------------------------------------------------
def outcomes(*told: str, name: str = "test_it") -> None:
    for outcome in told:
        run = RunFactory(success=True)
        ResultFactory(run=run, path="test_a.py", name=name, nodeid=f"test_a.py::{name}", outcome=outcome)


@pytest.mark.parametrize(
    ("told", "is_flaky"),
    [
        (["passed"] * 5, False),
        (["passed", "passed", "failed", "failed"], False),  # a fault
        (["passed", "failed", "failed", "passed"], False),  # a fault and its fix
        (["passed", "failed", "passed", "failed"], True),
        (["passed", "failed", "skipped", "passed", "error"], True),
    ],
)
def test_a_test_that_wavers_is_marked(as_viewer, told, is_flaky):
    outcomes(*told)

    page = as_viewer.get(f"{RUNS}tests/").content.decode()

    assert ('class="row-state"' in page) == is_flaky
    assert page.count('class="is-') == len(told)


def test_one_tests_history_is_shown_environment_by_environment(as_viewer):
    for environment in (17, 18):
        run = RunFactory(success=True, environment_id=environment)
        ResultFactory(run=run, environment_id=environment, nodeid="test_a.py::test_it")
    outcomes("passed", name="test_other")

    page = as_viewer.get(f"{RUNS}tests/", {"test": "test_a.py::test_it"}).content.decode()

    assert "Environment 17" in page and "Environment 18" in page and "test_other" not in page


def test_a_search_for_anything_is_an_answer(as_viewer):
    outcomes("passed")

    assert "No test with this name" in as_viewer.get(f"{RUNS}tests/", {"q": "\x00'\"<"}).content.decode()
    assert as_viewer.get(f"{RUNS}tests/", {"test": "\x00"}).status_code == 200


# --- Times ------------------------------------------------------------------------------------------
def test_a_run_tells_how_long_it_has_been_going(as_viewer):
    started = timezone.now() - timedelta(minutes=3)
    run = RunFactory(running=True, queued_at=started, started_at=started)

    page = as_viewer.get(page_of(run)).content.decode()

    assert "3 min" in page and f'data-since="{started.isoformat()}"' in page


def test_what_cannot_start_says_so(as_viewer):
    TestEnvironment.objects.filter(pk=17).update(enabled=False)

    assert "it starts when the environment is enabled" in as_viewer.get(page_of(RunFactory())).content.decode()


def test_every_outcome_that_there_is_can_be_shown(as_viewer):
    outcomes(*TestResult.Outcome.values)
    run = RunFactory(failure=True, environment_id=18)
    for outcome in TestResult.Outcome:
        ResultFactory(run=run, outcome=outcome)

    assert as_viewer.get(f"{RUNS}tests/").content.decode().count('class="is-') == 2 * len(TestResult.Outcome)
    page = as_viewer.get(page_of(run)).content.decode()
    assert "Failed as expected" in page and "question_mark" not in page
