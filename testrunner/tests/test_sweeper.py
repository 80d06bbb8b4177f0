from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from testrunner import services
from testrunner.factories import RunFactory
from testrunner.models import RunNotAllowed, TestEnvironment, TestRun
from testrunner.queue import claims, sweeper

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    """The environments for which a worker was woken."""
    called: list[int] = []
    monkeypatch.setattr(claims, "wake_worker", called.append)
    return called


def silent_for(run: TestRun, seconds: float) -> TestRun:
    """Make a run look as if its worker last renewed the lease `seconds` ago."""
    TestRun.objects.filter(pk=run.pk).update(
        lease_until=claims.database_now() + claims.LEASE - timedelta(seconds=seconds)
    )
    return run


def test_the_run_of_a_silent_worker_is_lost_and_the_next_one_may_start(tester, environment, file, woken):
    run, following = (services.start_run(user=tester, environment=environment, files=[file]) for _ in range(2))
    claims.claim(17, "runner@gone")
    silent_for(run, 36)

    sweeper.sweep()

    run.refresh_from_db()
    assert (run.status, run.reason) == ("lost", "Its worker runner@gone was not heard of for 35 s.")
    assert run.finished_at is not None
    assert woken[-1] == 17
    assert claims.claim_next("w") == following


@pytest.mark.parametrize("seconds", [0, 14, 29, 34])
def test_a_worker_that_may_still_be_there_is_left_alone(seconds, woken):
    run = silent_for(RunFactory(running=True), seconds)

    assert sweeper.mark_lost_runs() == 0

    run.refresh_from_db()
    assert run.status == "running"


def test_a_dead_workers_lease_is_over_35_seconds_after_the_clock_was_set_back(woken):
    run = silent_for(RunFactory(running=True), -3_600)  # an hour of the lease is left

    sweeper.sweep()

    run.refresh_from_db()
    assert run.status == "running"
    assert run.lease_until <= claims.database_now() + claims.LEASE


def test_a_lease_that_was_renewed_meanwhile_is_left_alone(woken, monkeypatch):
    """The worker renews the lease between the sweeper's query and its lock."""
    run = silent_for(RunFactory(running=True), 36)
    usual = claims.end

    def renewed_just_before(run, still, status, **fields):
        silent_for(run, 0)
        return usual(run, still, status, **fields)

    monkeypatch.setattr(claims, "end", renewed_just_before)

    assert sweeper.mark_lost_runs() == 0
    run.refresh_from_db()
    assert run.status == "running"


def test_a_late_worker_cannot_end_what_was_reaped(tester, environment, file):
    services.start_run(user=tester, environment=environment, files=[file])
    late = claims.claim(17, "late")
    reaper_saw = silent_for(TestRun.objects.get(pk=late.pk), 36)
    sweeper.mark_lost_runs()

    mine = Q(lease_token=late.lease_token, status=TestRun.Status.RUNNING)
    assert not claims.end(late, mine, TestRun.Status.SUCCESS, exit_code=0, tests=1)

    reaper_saw.refresh_from_db()
    assert reaper_saw.status == "lost"


def test_the_sweeper_calls_a_worker_for_whoever_could_start(woken):
    RunFactory(environment_id=3)
    RunFactory(environment_id=4)
    RunFactory(environment_id=4, running=True)

    sweeper.sweep()

    assert woken == [3]


def test_a_reservation_that_is_over_is_taken_down(tester, environment, woken):
    services.reserve(environment=environment, user=tester, duration=HOUR)
    TestEnvironment.objects.filter(pk=17).update(
        reserved_from=claims.database_now() - HOUR, reserved_until=claims.database_now()
    )

    sweeper.sweep()

    environment.refresh_from_db()
    assert (environment.reserved_by, environment.reserved_until, environment.reserved_for) == (None, None, None)


def test_a_run_whose_times_lie_in_the_future_is_reaped(woken):
    run = silent_for(RunFactory(running=True), 36)
    TestRun.objects.filter(pk=run.pk).update(started_at=claims.database_now() + HOUR)

    sweeper.sweep()

    run.refresh_from_db()
    assert (run.status, run.finished_at) == ("lost", run.started_at)


def test_one_rows_trouble_stops_no_other_row_and_no_other_step(woken, monkeypatch, file, tester):
    first, second = (silent_for(RunFactory(running=True, environment_id=place), 36) for place in (3, 4))
    over = {"reserved_from": claims.database_now() - HOUR, "reserved_until": claims.database_now()}
    TestEnvironment.objects.filter(pk__in=[5, 6]).update(reserved_by=tester, reserved_for=HOUR, **over)
    waits = services.start_run(user=tester, environment=TestEnvironment.objects.get(pk=7), files=[file])
    usual_end, usual_lock = claims.end, claims.locked

    def end(run, *given, **more):
        return 1 / 0 if run == first else usual_end(run, *given, **more)

    def locked(environment_id):
        return 1 / 0 if environment_id == 5 else usual_lock(environment_id)

    monkeypatch.setattr(claims, "end", end)
    monkeypatch.setattr(claims, "locked", locked)
    sweeper.sweep()

    assert list(TestRun.objects.filter(status="lost")) == [second]
    assert list(TestEnvironment.objects.filter(reserved_for__isnull=False)) == [TestEnvironment.objects.get(pk=5)]
    assert woken[-1] == waits.environment_id


def test_a_reservation_lasts_by_the_clock_of_the_database(woken, tester, colleague, environment, file, monkeypatch):
    services.reserve(environment=environment, user=colleague, duration=HOUR)
    services.start_run(user=tester, environment=environment, files=[file])
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + 2 * HOUR)  # this process's clock is ahead

    sweeper.sweep()

    assert claims.startable() == []
    assert claims.claim(17, "w") is None
    with pytest.raises(RunNotAllowed, match="is reserved by cole"):
        services.reserve(environment=environment, user=tester, duration=HOUR)
