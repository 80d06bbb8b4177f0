"""Queue positions and expected start times."""

from datetime import timedelta

import pytest
from django.utils import timezone

from testrunner.clock import database_now
from testrunner.factories import RunFactory
from testrunner.models import TestEnvironment
from testrunner.queue import estimates

pytestmark = pytest.mark.django_db
NOW = timezone.now
A, B = "a" * 64, "b" * 64


def ran(seconds: float, files_key: str = A, environment: int = 17) -> None:
    finished = NOW() - timedelta(minutes=5)
    RunFactory(
        success=True,
        environment_id=environment,
        files_key=files_key,
        queued_at=finished - timedelta(seconds=seconds),
        started_at=finished - timedelta(seconds=seconds),
        finished_at=finished,
    )


def runs(seconds_ago: float, files_key: str = A) -> None:
    RunFactory(
        running=True,
        files_key=files_key,
        queued_at=NOW() - timedelta(seconds=seconds_ago),
        started_at=NOW() - timedelta(seconds=seconds_ago),
    )


def waits(files_key: str = A, **more):
    return RunFactory(files_key=files_key, **more)


def turn(run) -> tuple[int, float]:
    """Return the position, and the time until the start in whole seconds."""
    now = database_now()
    told = estimates.positions(TestEnvironment.objects.filter(pk=run.environment_id), None, now)[run.pk]
    return told.position, round((told.expected_start - now).total_seconds())


def test_who_is_first_in_a_free_environment_starts_now():
    assert turn(waits()) == (1, 0)


def test_what_is_left_of_the_active_run_and_who_is_ahead_are_waited_for():
    ran(60, A)
    ran(30, B)
    runs(seconds_ago=20, files_key=A)
    first, second = waits(B), waits(A)

    assert (turn(first), turn(second)) == ((1, 40), (2, 70))


def test_an_active_run_that_takes_longer_than_ever_may_end_at_any_moment():
    ran(10)
    runs(seconds_ago=100)

    assert turn(waits()) == (1, 0)


def test_the_median_of_earlier_runs_is_what_counts():
    for seconds in (10, 12, 900):
        ran(seconds)
    runs(seconds_ago=0)

    assert turn(waits()) == (1, 12)


@pytest.mark.parametrize(
    ("earlier", "seconds"),
    [
        ([(50, A, 17), (10, A, 18)], 50),  # same files in this environment
        ([(10, A, 18), (30, B, 17)], 10),  # same files elsewhere
        ([(30, B, 17)], 30),  # any files
        ([], 60),  # the time limit
    ],
)
def test_the_nearest_thing_that_is_known_is_taken(earlier, seconds):
    for took, files_key, environment in earlier:
        ran(took, files_key, environment)
    runs(seconds_ago=0)

    assert turn(waits()) == (1, seconds)


def test_the_holders_runs_come_first_and_others_after_the_reservation(tester, colleague):
    ran(10)
    until = NOW() + timedelta(minutes=10)
    TestEnvironment.objects.filter(pk=17).update(
        reserved_by=tester, reserved_for=timedelta(minutes=10), reserved_from=NOW(), reserved_until=until
    )
    other, own = waits(created_by=colleague), waits(created_by=tester)

    assert (turn(own), turn(other)) == ((1, 0), (2, 600))


def test_nobody_can_tell_while_the_environment_is_closed():
    TestEnvironment.objects.filter(pk=17).update(enabled=False)
    run = waits()

    assert estimates.positions(TestEnvironment.objects.filter(pk=17))[run.pk] == estimates.QueuePosition(1, None)


def test_many_environments_take_no_more_queries_than_one(django_assert_num_queries):
    for environment in range(1, 21):
        ran(5, environment=environment)
        waits(environment_id=environment)
        waits(B, environment_id=environment)

    with django_assert_num_queries(6):  # the clock, the environments, their runs, three kinds of medians
        found = estimates.positions(TestEnvironment.objects.all())

    assert len(found) == 40
