"""Queue order and claims: first come, first served, one active run. Concurrency uses real second connections."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testrunner import services
from testrunner.factories import RunFactory
from testrunner.models import TestEnvironment, TestRun
from testrunner.queue import claims

FAILED = TestRun.Status.FAILED


@pytest.fixture
def beside():
    """Run a function in a thread with a connection of its own."""
    pool = ThreadPoolExecutor(max_workers=8)

    def run(work: Callable) -> Future:
        def and_hang_up():
            try:
                return work()
            finally:
                connection.close()

        return pool.submit(and_hang_up)

    yield run
    pool.shutdown()


def start(tester, file, environment_id: int = 17) -> TestRun:
    return services.start_run(user=tester, environment=TestEnvironment(pk=environment_id), files=[file])


@pytest.mark.django_db
def test_the_oldest_run_of_an_environment_starts_first_and_the_next_when_it_has_ended(tester, file):
    runs = [start(tester, file) for _ in range(3)]

    for run in runs:
        claimed = claims.claim(17, "w")
        assert claimed == run
        assert claims.claim(17, "w") is None
        assert claims.end(claimed, Q(lease_token=claimed.lease_token), FAILED, exit_code=1)
    assert claims.claim(17, "w") is None


@pytest.mark.django_db
def test_a_claimed_run_has_a_worker_a_lease_and_a_token_that_nobody_had_before(tester, file):
    start(tester, file), start(tester, file)

    first = claims.claim(17, "w1")
    claims.end(first, Q(), FAILED)
    second = claims.claim(17, "w2")

    assert (second.status, second.worker) == ("running", "w2")
    assert second.lease_until > claims.database_now()
    assert second.lease_token > first.lease_token


@pytest.mark.django_db
def test_a_run_never_seems_to_start_before_the_one_ahead_has_ended(tester, file):
    start(tester, file), start(tester, file)
    first = claims.claim(17, "w")
    claims.end(first, Q(), FAILED)

    second = claims.claim(17, "w")  # in the same transaction, whose start time does not change

    assert first.started_at < first.finished_at < second.started_at


@pytest.mark.django_db
def test_whoever_waits_longest_is_next_whatever_the_environment(tester, file):
    first = [start(tester, file, 1) for _ in range(3)]
    second = start(tester, file, 2)

    assert claims.startable() == [(first[0].pk, 1), (second.pk, 2)]
    claims.end(claims.claim_next("w"), Q(), FAILED)  # environment 1 is free again, but its next run was queued later
    RunFactory(environment_id=3)

    assert [claims.claim_next("w").environment_id for _ in range(3)] == [1, 2, 3]


@pytest.mark.django_db
def test_what_was_ended_by_somebody_else_is_not_ended_again(tester, file):
    start(tester, file)
    run = claims.claim(17, "w")
    assert claims.end(run, Q(lease_token=run.lease_token, status="running"), TestRun.Status.LOST, reason="gone")

    assert not claims.end(run, Q(lease_token=run.lease_token, status="running"), FAILED)

    run.refresh_from_db()
    assert run.status == "lost"


@pytest.mark.django_db
def test_the_constraint_means_busy_and_never_failure(tester, file, monkeypatch):
    start(tester, file)
    claims.claim(17, "w")
    start(tester, file)
    monkeypatch.setattr(type(TestRun.objects.all()), "exists", lambda _: False)  # as if the check had been skipped

    with transaction.atomic():
        assert claims.claim(17, "w") is None

    assert TestRun.objects.queued().count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_claim_at_once_one_gets_the_run(tester, file, beside):
    run = start(tester, file)
    start(tester, file)
    together = threading.Barrier(8)

    def claim():
        together.wait()
        return claims.claim(17, "w")

    claimed = [future.result() for future in [beside(claim) for _ in range(8)]]

    assert [it for it in claimed if it] == [run]


@pytest.mark.django_db(transaction=True)
def test_ids_are_in_the_order_of_commits(tester, file, beside):
    """A run that commits later has a higher id, so no run is overtaken by one that was not visible yet."""
    with transaction.atomic():
        first = start(tester, file)
        late = beside(lambda: start(tester, file))
        with pytest.raises(TimeoutError):
            late.result(timeout=0.3)  # it waits for our commit, without an id

    assert late.result().pk > first.pk
    assert claims.claim(17, "w") == first


@pytest.mark.django_db(transaction=True)
def test_a_claim_waits_for_whoever_holds_the_environment_and_then_sees_what_he_did(tester, file, beside):
    start(tester, file)
    with claims.locked(17):
        late = beside(lambda: claims.claim(17, "w"))
        with pytest.raises(TimeoutError):
            late.result(timeout=0.3)
        TestEnvironment.objects.filter(pk=17).update(enabled=False)

    assert late.result() is None


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_goes_out_with_the_commit(tester, file, monkeypatch):
    sent = []
    monkeypatch.setattr("core.wake._send", lambda task, args, options: sent.append((task, args)))

    with transaction.atomic():
        start(tester, file)
        assert sent == []

    assert sent == [("testrunner.tasks.run_tests", (17,))]


@pytest.mark.django_db
def test_looking_for_the_next_run_reads_no_history(tester):
    ended = {"status": "failed", "started_at": timezone.now(), "finished_at": timezone.now()}
    TestRun.objects.bulk_create(
        RunFactory.build(environment_id=number % 100 + 1, queued_at=timezone.now() - timedelta(1), **ended)
        for number in range(5_000)
    )
    run = RunFactory(environment_id=5)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE testrunner_testrun")

    with CaptureQueriesContext(connection) as captured:
        assert claims.startable() == [(run.pk, 5)]
    (query,) = captured.captured_queries
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "testrunner_testrun_queue" in plan
    assert "Seq Scan on testrunner_testrun " not in plan
