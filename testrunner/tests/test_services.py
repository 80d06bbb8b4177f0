import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Q

from core.database import direct_connections
from live.models import OutboxMessage
from testrunner import services
from testrunner.factories import ResultFactory, RunFactory
from testrunner.files.snapshot import Snapshot
from testrunner.models import RunFile, RunNotAllowed, TestEnvironment, TestRun
from testrunner.queue import claims, quotas
from testrunner.records import retention
from testrunner.sandbox.results.nodeids import shortened

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def start(user, environment, *files, **more) -> TestRun:
    return services.start_run(
        user=user, environment=environment, files=files or [Snapshot("samples", "test_a.py", b"1")], **more
    )


def told(topic: str) -> list[str]:
    return list(OutboxMessage.objects.filter(topic=topic).order_by("id").values_list("type", flat=True))


def test_a_run_waits_with_the_bytes_that_its_files_had(tester, environment):
    run = start(tester, environment, Snapshot("uploads", "a/test_a.py", b"x = 1"), Snapshot("samples", "b.py", b""))

    assert (run.status, run.requested_by, run.created_by) == ("queued", "tess", tester)
    assert [(str(file), bytes(file.content), file.size) for file in run.files.all()] == [
        ("uploads/a/test_a.py", b"x = 1", 5),
        ("samples/b.py", b"", 0),
    ]
    assert told(f"testrun:{run.pk}") == told("testruns") == ["testrun.updated"]
    assert told("environments") == ["environment.updated"]


def test_a_run_can_be_requested_for_somebody_else(tester, environment):
    assert start(tester, environment, requested_by="release 2.1").requested_by == "release 2.1"


def test_a_double_click_is_one_run(tester, environment):
    key = uuid4()

    first, second = start(tester, environment, request_key=key), start(tester, environment, request_key=key)

    assert first == second
    assert TestRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_press_whose_first_attempt_met_a_deadlock_is_one_run(tester, environment):
    key = uuid4()

    def start_it() -> TestRun:
        try:
            return start(tester, environment, request_key=key)
        finally:
            connection.close()

    other = psycopg2.connect(**direct_connections.parameters())
    with contextlib.closing(other), other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("SET deadlock_timeout = '60s'")  # so that the deadlock ends the other transaction
        cursor.execute("SELECT 1 FROM testrunner_testenvironment WHERE id = 17 FOR UPDATE")
        starting = pool.submit(start_it)
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid) = (%s, %s) AND granted"
        _wait_for(cursor, held, [quotas.LOCK_NAMESPACE, tester.pk])
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [quotas.LOCK_NAMESPACE, tester.pk])
        other.commit()
        first = starting.result()

    assert start(tester, environment, request_key=key) == first
    assert TestRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_that_retention_deletes_while_it_is_queued_again_is_refused_in_words(tester):
    long_ago = claims.database_now() - timedelta(days=settings.TESTRUN_DAYS + 1)
    old = RunFactory(failure=True, queued_at=long_ago, started_at=long_ago, finished_at=long_ago)

    def rerun_it() -> TestRun:
        try:
            return services.rerun(run=old, user=tester)
        finally:
            connection.close()

    RunFile.objects.create(run=old, position=0, root="samples", path="a.py", sha256="0" * 64, size=1, content=b"1")
    with contextlib.closing(psycopg2.connect(**direct_connections.parameters())) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM testrunner_testenvironment WHERE id = 17 FOR UPDATE")
        with ThreadPoolExecutor(1) as pool:
            rerunning = pool.submit(rerun_it)
            _wait_for(cursor, "SELECT count(*) FROM pg_locks WHERE NOT granted", [])
            assert retention.delete_old_runs() == 1
            other.commit()

            with pytest.raises(RunNotAllowed, match="was deleted meanwhile"):
                rerunning.result()
    assert not TestRun.objects.exists()


def _wait_for(cursor: Any, count: str, values: list[Any]) -> None:
    cursor.execute(count, values)
    while cursor.fetchone() == (0,):
        cursor.execute(count, values)


def test_whoever_goes_back_and_asks_for_something_else_has_another_run(tester, environment, colleague):
    key, other = uuid4(), TestEnvironment.objects.get(pk=18)
    edited, another = Snapshot("samples", "test_a.py", b"2"), Snapshot("samples", "test_b.py", b"1")

    runs = [
        start(tester, environment, request_key=key),
        start(tester, other, request_key=key),
        start(tester, environment, edited, request_key=key),
        start(tester, environment, another, request_key=key),
        start(tester, environment, wall_seconds=60, request_key=key),
        start(tester, environment, requested_by="release 2.1", request_key=key),
        start(colleague, environment, request_key=key),
    ]

    assert len(set(runs)) == 7
    assert runs[1].environment == other


@pytest.mark.django_db(transaction=True)
def test_one_key_in_two_environments_at_once_is_no_conflict(tester, environment):
    key, together, outcomes = uuid4(), threading.Barrier(4), []

    def press(place: int) -> None:
        together.wait()
        try:
            outcomes.append(start(tester, TestEnvironment.objects.get(pk=place), request_key=key).pk)
        except Exception as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(place,)) for place in (17, 18, 17, 18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(set(outcomes)) == sorted(TestRun.objects.values_list("pk", flat=True))
    assert TestRun.objects.count() == 2


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "at least one"),
        ([Snapshot("samples", "a.py", b"1"), Snapshot("samples", "a.py", b"2")], "twice"),
        ([Snapshot("samples", "a.py", b"1"), Snapshot("project", "a.py", b"1")], "own tests need a run of their own"),
        ([Snapshot("samples", f"{number}.py", b"") for number in range(201)], "200 files"),
        ([Snapshot("samples", "a.py", b"x" * (20 * 2**20 + 1))], "20 MiB"),
    ],
)
def test_an_impossible_choice_of_files_is_refused_in_words(tester, environment, files, words):
    with pytest.raises(RunNotAllowed, match=words):
        services.start_run(user=tester, environment=environment, files=files)


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_an_impossible_time_limit_is_refused(tester, environment, seconds):
    with pytest.raises(RunNotAllowed, match="1 to 3600"):
        start(tester, environment, wall_seconds=seconds)


def test_a_queued_run_is_cancelled_at_once(tester, environment):
    run = start(tester, environment)

    services.cancel_run(run=run, user=tester)

    assert (run.status, run.reason) == ("cancelled", "Cancelled by tess while it waited.")
    assert (run.started_at, run.cancel_requested_by) == (None, tester)


def test_cancelling_a_queued_run_leaves_the_active_one_alone(tester, environment):
    active, waiting = start(tester, environment), start(tester, environment)
    claims.claim(17, "w")

    services.cancel_run(run=waiting, user=tester)

    active.refresh_from_db()
    assert (active.status, active.cancel_requested_at) == ("running", None)
    assert waiting.status == "cancelled"


def test_an_active_run_is_asked_to_stop(tester, environment):
    run = start(tester, environment)
    claims.claim(17, "w")

    services.cancel_run(run=run, user=tester)
    services.cancel_run(run=run, user=tester)

    assert (run.status, run.cancel_requested_by) == ("running", tester)


def test_a_run_that_has_ended_is_not_cancelled(tester):
    run = RunFactory(success=True)

    with pytest.raises(RunNotAllowed, match="ended already: success"):
        services.cancel_run(run=run, user=tester)


def test_a_rerun_has_the_same_bytes_in_the_same_environment(tester, environment, colleague):
    run = start(tester, environment)
    claims.end(claims.claim(17, "w"), Q(), TestRun.Status.FAILED, exit_code=1)
    run.refresh_from_db()

    again = services.rerun(run=run, user=colleague)

    assert (again.environment, again.rerun_of, again.requested_by) == (environment, run, "cole")
    assert bytes(again.files.get().content) == b"1"
    assert again.files_key == run.files_key


def test_only_the_failed_tests_are_rerun_if_so_wanted(tester, environment):
    run = start(tester, environment)
    claims.end(claims.claim(17, "w"), Q(), TestRun.Status.FAILED, exit_code=1)
    run.refresh_from_db()
    for name, outcome in {"ok": "passed", "bad": "failed", "broken": "error"}.items():
        ResultFactory(run=run, name=name, outcome=outcome)

    again = services.rerun(run=run, user=tester, failed_only=True)

    assert again.selection == ["test_one.py::bad", "test_one.py::broken"]
    assert again.files_key != run.files_key


def test_of_a_failed_test_whose_id_is_not_stored_whole_more_is_rerun(tester, environment):
    run = start(tester, environment)
    claims.end(claims.claim(17, "w"), Q(), TestRun.Status.FAILED, exit_code=1)
    run.refresh_from_db()
    for name in ("x[1]", f"x[{'y' * 600}]", f"x[{'z' * 600}]", f"long_{'n' * 600}", "k[***]", "k[***]~2", "k_***[1]"):
        ResultFactory(run=run, name="test", nodeid=shortened(f"test_one.py::test_{name}"), outcome="failed")

    again = services.rerun(run=run, user=tester, failed_only=True)

    assert again.selection == ["test_one.py::test_x[1]", "test_one.py::test_x", "test_one.py", "test_one.py::test_k"]


def test_there_is_nothing_to_rerun_where_nothing_failed(tester):
    with pytest.raises(RunNotAllowed, match="No test of run"):
        services.rerun(run=RunFactory(success=True), user=tester, failed_only=True)


def test_a_run_is_not_rerun_before_it_has_ended(tester):
    with pytest.raises(RunNotAllowed, match="not finished"):
        services.rerun(run=RunFactory(), user=tester)


def test_a_reservation_lets_the_holder_pass_and_all_others_wait(tester, colleague, environment):
    others = start(colleague, environment)
    mine = start(tester, environment)

    services.reserve(environment=environment, user=tester, duration=HOUR)

    assert claims.startable() == [(mine.pk, 17)]
    assert claims.claim_next("w") == mine
    assert claims.end(mine, Q(), TestRun.Status.FAILED)
    assert claims.claim_next("w") is None
    services.release(environment=environment, user=tester)
    assert claims.claim_next("w") == others


def test_a_reservation_ends_by_itself(tester, colleague, environment):
    services.reserve(environment=environment, user=tester, duration=HOUR)
    waiting = start(colleague, environment)
    assert claims.claim_next("w") is None

    TestEnvironment.objects.filter(pk=17).update(
        reserved_from=claims.database_now() - HOUR, reserved_until=claims.database_now() - timedelta(seconds=1)
    )

    assert claims.claim_next("w") == waiting


def test_a_reservation_after_the_current_run_begins_when_it_ends(tester, colleague, environment):
    active = start(colleague, environment)
    claims.claim(17, "w")
    waiting = start(colleague, environment)

    reserved = services.reserve(environment=environment, user=tester, duration=HOUR, after_current=True)
    services.cancel_run(run=waiting, user=colleague)
    environment.refresh_from_db()
    assert (reserved.reserved_from, environment.reserved_until) == (None, None)
    claims.end(active, Q(), TestRun.Status.FAILED)

    environment.refresh_from_db()
    active.refresh_from_db()
    assert environment.reserved_from >= active.finished_at
    assert environment.reserved_until - environment.reserved_from == pytest.approx(HOUR, abs=timedelta(seconds=1))


def test_a_reservation_after_the_current_run_begins_now_where_there_is_none(tester, environment):
    reserved = services.reserve(environment=environment, user=tester, duration=HOUR, after_current=True)

    assert reserved.reserved_until is not None


def test_nobody_takes_anothers_reservation(tester, colleague, environment):
    services.reserve(environment=environment, user=tester, duration=HOUR)

    with pytest.raises(RunNotAllowed, match="reserved by tess"):
        services.reserve(environment=environment, user=colleague, duration=HOUR)
    services.reserve(environment=environment, user=tester, duration=2 * HOUR)


@pytest.mark.parametrize("duration", [timedelta(0), -HOUR, timedelta(days=8)])
def test_a_reservation_has_a_sensible_length(tester, environment, duration):
    with pytest.raises(RunNotAllowed, match="7 days"):
        services.reserve(environment=environment, user=tester, duration=duration)


def test_there_is_nothing_to_release_where_nothing_is_reserved(tester, environment):
    with pytest.raises(RunNotAllowed, match="not reserved"):
        services.release(environment=environment, user=tester)


def test_runs_of_a_disabled_environment_wait_until_it_is_enabled(tester, environment):
    services.change_environment(environment=environment, user=tester, enabled=False)
    run = start(tester, environment)

    assert claims.claim_next("w") is None
    assert claims.claim(17, "w") is None
    services.change_environment(environment=environment, user=tester, enabled=True)
    assert claims.claim_next("w") == run


def test_an_environment_with_an_active_run_is_not_disabled(tester, environment):
    run = start(tester, environment)
    claims.claim(17, "w")

    with pytest.raises(RunNotAllowed, match=f"Run {run.pk} is active"):
        services.change_environment(environment=environment, user=tester, enabled=False)


def test_changes_of_an_environment_are_in_its_history(tester, environment):
    services.change_environment(environment=environment, user=tester, name="Payments, staging")

    entry = environment.history.latest()
    assert (entry.name, entry.history_user) == ("Payments, staging", tester)
