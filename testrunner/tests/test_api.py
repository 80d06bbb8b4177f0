"""REST API of the test runner, from a client's point of view."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testrunner.factories import ResultFactory, RunFactory
from testrunner.files.uploads import EMPTY
from testrunner.models import EnvironmentVariable, LogChunk, TestEnvironment, TestRun
from testrunner.queue import queue_status

pytestmark = pytest.mark.django_db
GOOD = b"def test_it():\n    assert True\n"


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    return tmp_path / "uploads"


@pytest.fixture
def uploaded(tester_api):
    """Upload a file and return the response."""

    def send(name: str = "test_it.py", directory: str = "", content: bytes = GOOD, **more):
        body = {"file": SimpleUploadedFile(name, content), "directory": directory, **more}
        return tester_api.post("/test-files/", body, format="multipart")

    return send


@pytest.fixture
def started(tester_api, uploaded):
    """Start a run of one file and return the response."""
    file = uploaded().json()

    def start(**body):
        return tester_api.post("/test-runs/", {"environment": 17, "files": [file["id"]], **body}, format="json")

    return start


# --- Files ------------------------------------------------------------------------------------------
def test_an_upload_is_among_the_choices_at_once(uploaded, tester_api):
    answer = uploaded(directory="smoke")

    assert answer.status_code == 201
    body = answer.json()
    assert body["path"] == "uploads/smoke/test_it.py"
    assert (body["directory"], body["size"], body["uploaded_by"]) == ("smoke", len(GOOD), "tess")
    listed = tester_api.get("/test-files/", {"root": "uploads"}).json()["results"]
    assert listed == [body]


def test_the_tests_that_ship_with_opsroom_are_choices(tester_api):
    found = tester_api.get("/test-files/", {"search": "test_api", "root": "project"}).json()["results"]

    assert "project/testrunner/tests/test_api.py" in [file["path"] for file in found]


def test_a_refused_upload_names_the_field(uploaded):
    answer = uploaded("test_it.sh")

    assert answer.status_code == 400
    assert answer.json()["errors"]["file"] == [
        "Only Python files and data such as .json, .csv, .txt or .png are taken. This one is called 'test_it.sh'."
    ]
    assert uploaded(directory="../up").json()["errors"].keys() == {"directory"}
    assert uploaded(content=b"def broken(:\n").json()["errors"].keys() == {"file"}
    assert uploaded(content=b"").json()["errors"]["file"] == [EMPTY]


def test_an_upload_never_replaces_a_file_in_silence(uploaded):
    first = uploaded().json()

    again, replaced = uploaded(content=b"x = 1\n"), uploaded(content=b"x = 1\n", overwrite="true")

    assert again.status_code == 409
    assert "test_it.py exists already" in again.json()["detail"]
    assert (replaced.status_code, replaced.json()["id"]) == (201, first["id"])


def test_who_may_look_may_not_upload(viewer_api, uploads):
    answer = viewer_api.post("/test-files/", {"file": SimpleUploadedFile("test_it.py", GOOD)}, format="multipart")

    assert answer.status_code == 403
    assert not uploads.exists()


def test_an_uploaded_file_can_be_deleted_and_a_shipped_one_cannot(uploaded, tester_api):
    file = uploaded().json()
    shipped = tester_api.get("/test-files/", {"root": "project"}).json()["results"][0]

    assert tester_api.delete(f"/test-files/{file['id']}/").status_code == 204
    assert tester_api.get(f"/test-files/{file['id']}/").status_code == 404
    assert tester_api.delete(f"/test-files/{shipped['id']}/").status_code == 409


# --- Environments -----------------------------------------------------------------------------------
def test_the_hundred_environments_are_on_one_page(tester_api, django_assert_max_num_queries):
    RunFactory(running=True, environment_id=17)
    RunFactory(environment_id=17)

    with django_assert_max_num_queries(10):
        found = tester_api.get("/environments/").json()["results"]

    assert [environment["id"] for environment in found] == list(range(1, 101))
    busy = found[16]
    assert (busy["state"], busy["active"]["requested_by"]) == ("busy", "tess")
    assert [(run["position"], run["expected_start"] is not None) for run in busy["queue"]] == [(1, True)]
    assert found[0]["state"] == "free"


def test_secret_variables_are_never_told(tester_api):
    EnvironmentVariable.objects.create(environment_id=17, name="API_URL", value="http://127.0.0.1/")
    EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hunter2", secret=True)

    answer = tester_api.get("/environments/17/")

    assert answer.json()["variables"] == [
        {"name": "API_KEY", "value": None, "secret": True},
        {"name": "API_URL", "value": "http://127.0.0.1/", "secret": False},
    ]
    assert b"hunter2" not in answer.content


def test_an_environment_is_reserved_and_released(tester_api, tester):
    reserved = tester_api.post("/environments/17/reserve/", {"minutes": 30, "note": "release"}).json()

    assert (reserved["state"], reserved["reserved_by"], reserved["reservation_note"]) == ("reserved", "tess", "release")
    released = tester_api.post("/environments/17/release/").json()
    assert (released["state"], released["reserved_by"]) == ("free", None)
    assert tester_api.post("/environments/17/release/").status_code == 409
    assert tester_api.post("/environments/17/reserve/", {"minutes": 0}).json()["errors"].keys() == {"minutes"}


def test_an_environment_with_an_active_run_is_not_disabled(tester_api):
    RunFactory(running=True, environment_id=17)

    refused = tester_api.patch("/environments/17/", {"enabled": False})

    assert refused.status_code == 409
    assert tester_api.patch("/environments/18/", {"enabled": False}).json()["state"] == "disabled"


def test_who_may_look_changes_nothing(viewer_api):
    assert viewer_api.get("/environments/17/").status_code == 200
    assert viewer_api.patch("/environments/17/", {"enabled": False}).status_code == 403
    assert viewer_api.post("/environments/17/reserve/", {"minutes": 5}).status_code == 403
    assert viewer_api.post("/test-runs/", {"environment": 17, "files": [1]}).status_code == 403


# --- Runs -------------------------------------------------------------------------------------------
def test_a_run_is_queued_with_the_bytes_of_the_moment(started, tester_api, uploaded):
    answer = started()

    assert answer.status_code == 201
    run = answer.json()
    assert (run["status"], run["requested_by"], run["environment"]) == ("queued", "tess", 17)
    assert (run["position"], run["results"]) == (1, [])
    assert run["expected_start"] is not None
    uploaded(content=b"x = 1\n", overwrite="true")
    again = tester_api.get(f"/test-runs/{run['id']}/").json()
    assert again["snapshot"] == run["snapshot"]
    assert again["files"] == run["files"]


def test_the_second_run_waits_behind_the_first(started):
    RunFactory(running=True, environment_id=17)

    first, second = started(requested_by="CI").json(), started().json()

    assert (first["position"], second["position"], first["requested_by"]) == (1, 2, "CI")
    assert first["expected_start"] <= second["expected_start"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"environment": 101}, "environment"),
        ({"environment": None}, "environment"),
        ({"files": []}, "files"),
        ({"files": [2**40]}, "files"),
        ({"files": "all"}, "files"),
        ({"wall_seconds": 0}, "wall_seconds"),
        ({"wall_seconds": 1_000_000}, "wall_seconds"),
        ({"requested_by": "x" * 256}, "requested_by"),
    ],
)
def test_what_is_wrong_with_a_run_is_said_by_field(started, body, field):
    answer = started(**body)

    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert not TestRun.objects.exists()


def test_the_same_file_twice_is_refused(started, tester_api, uploaded):
    file = tester_api.get("/test-files/", {"root": "uploads"}).json()["results"][0]["id"]

    assert started(files=[file, file]).json()["errors"]["files"] == ["The same file is listed twice."]


def test_a_waiting_run_is_cancelled_at_once_and_a_finished_one_is_not(started, tester_api):
    run = started().json()

    cancelled = tester_api.post(f"/test-runs/{run['id']}/cancel/")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert tester_api.post(f"/test-runs/{run['id']}/cancel/").status_code == 409


def test_only_who_may_cancel_others_runs_does(started, viewer_api, viewer):
    run = started().json()

    assert viewer_api.post(f"/test-runs/{run['id']}/cancel/").status_code == 403
    viewer.user_permissions.add(Permission.objects.get(codename="cancel_testrun"))
    viewer_api.force_authenticate(type(viewer).objects.get(pk=viewer.pk))
    assert viewer_api.post(f"/test-runs/{run['id']}/cancel/").status_code == 200


def test_a_finished_run_is_run_again_as_it_was(started, tester_api):
    run = started().json()
    tester_api.post(f"/test-runs/{run['id']}/cancel/")

    again = tester_api.post(f"/test-runs/{run['id']}/rerun/")

    assert again.status_code == 201
    assert (again.json()["rerun_of"], again.json()["snapshot"]) == (run["id"], run["snapshot"])
    assert tester_api.post(f"/test-runs/{run['id']}/rerun/", {"failed_only": True}).status_code == 409


def test_a_request_that_is_sent_twice_is_one_run(started, tester_api):
    key = "a7c5f1f6-2f4c-4c5b-9c4e-5b1f7f0e2a11"

    first, second = started(request_key=key).json(), started(request_key=key).json()
    TestRun.objects.filter(pk=first["id"]).update(
        status="failed", started_at=timezone.now(), finished_at=timezone.now() + timedelta(seconds=1), exit_code=1
    )
    again = [tester_api.post(f"/test-runs/{first['id']}/rerun/", {"request_key": key}).json()["id"] for _ in range(2)]

    assert first["id"] == second["id"]
    assert again[0] == again[1] != first["id"]
    assert started(request_key="no uuid").json()["errors"].keys() == {"request_key"}


def test_results_are_told_with_the_run_and_counts_in_the_list(tester_api, django_assert_max_num_queries):
    run = RunFactory(failure=True)
    ResultFactory(run=run, outcome="failed", message="assert 1 == 2")
    RunFactory.create_batch(10)

    with django_assert_max_num_queries(12):
        listed = tester_api.get("/test-runs/").json()["results"]

    assert [row["position"] for row in listed][:10] == list(range(10, 0, -1))
    assert "results" not in listed[-1]
    [result] = tester_api.get(f"/test-runs/{run.pk}/").json()["results"]
    assert (result["outcome"], result["message"]) == ("failed", "assert 1 == 2")
    assert [row["id"] for row in tester_api.get("/test-runs/", {"status": "failed"}).json()["results"]] == [run.pk]


def test_the_first_tracebacks_are_told_with_the_run(tester_api, monkeypatch):
    monkeypatch.setattr(queue_status, "MAX_DETAILS", 2)
    run = RunFactory(failure=True)
    ResultFactory(run=run)
    for number in range(3):
        ResultFactory(run=run, outcome="failed", details=f"traceback {number}")

    results = tester_api.get(f"/test-runs/{run.pk}/").json()["results"]

    assert [result["details"] for result in results] == [None, "traceback 0", "traceback 1", None]


@pytest.mark.parametrize("address", ["log/", "junit.xml", "cancel/", "rerun/"])
def test_nobody_reads_all_results_with_their_tracebacks_on_the_way(tester_api, address):
    run = RunFactory(failure=True, junit_xml="<testsuites/>", log_size=1)
    ResultFactory(run=run, outcome="failed", details="traceback")

    ask = tester_api.post if address in ("cancel/", "rerun/") else tester_api.get
    with CaptureQueriesContext(connection) as queries:
        ask(f"/test-runs/{run.pk}/{address}")

    asked = [query["sql"] for query in queries if 'FROM "testrunner_testresult"' in query["sql"]]
    assert [sql for sql in asked if f"IN ({run.pk})" in sql] == []


# --- Log and JUnit report ------------------------------------------------------------------------------
@pytest.fixture
def run_with_log() -> TestRun:
    run = RunFactory(success=True, log_size=10)
    LogChunk.objects.create(run=run, offset=0, data=b"01234")
    LogChunk.objects.create(run=run, offset=5, data=b"56789")
    return run


def test_the_log_is_text_and_no_page(tester_api, run_with_log):
    answer = tester_api.get(f"/test-runs/{run_with_log.pk}/log/")

    assert (answer.status_code, b"".join(answer)) == (200, b"0123456789")
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Length"] == "10"


def test_a_range_of_the_log_is_what_was_asked_for(tester_api, run_with_log):
    answer = tester_api.get(f"/test-runs/{run_with_log.pk}/log/", headers={"Range": "bytes=3-6"})

    assert (answer.status_code, b"".join(answer)) == (206, b"3456")
    assert answer["Content-Range"] == "bytes 3-6/10"


def test_nothing_new_in_the_log_is_said_with_its_size(tester_api, run_with_log):
    answer = tester_api.get(f"/test-runs/{run_with_log.pk}/log/", headers={"Range": "bytes=10-"})

    assert answer.status_code == 416
    assert answer["Content-Range"] == "bytes */10"
    assert answer["Content-Type"] == "application/problem+json"


def test_the_log_is_had_under_any_accept_header(tester_api, run_with_log):
    for accept in ("text/plain", "*/*", "application/json"):
        assert tester_api.get(f"/test-runs/{run_with_log.pk}/log/", headers={"Accept": accept}).status_code == 200


def test_the_junit_report_is_there_once_the_run_has_ended(tester_api):
    run = RunFactory(running=True)
    assert tester_api.get(f"/test-runs/{run.pk}/junit.xml").status_code == 404

    done = RunFactory(success=True, environment_id=18, junit_xml="<testsuites/>")

    answer = tester_api.get(f"/test-runs/{done.pk}/junit.xml")
    assert (answer.status_code, answer.content) == (200, b"<testsuites/>")
    assert answer["Content-Type"] == "application/xml; charset=utf-8"


def test_a_run_since_then_waits_as_long_as_the_reservation(tester_api, started, colleague):
    until = timezone.now() + timedelta(hours=1)
    TestEnvironment.objects.filter(pk=17).update(
        reserved_by=colleague, reserved_for=timedelta(hours=1), reserved_from=timezone.now(), reserved_until=until
    )

    run = started().json()

    assert run["expected_start"] >= until.isoformat()[:19]
