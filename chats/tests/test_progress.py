"""Rate and remaining time, from the ranges that were finished recently."""

from datetime import timedelta

import pytest
from django.utils import timezone

from chats import services
from chats.broadcasts.progress import in_words, progress_of
from chats.factories import BroadcastFactory
from chats.models import Broadcast


@pytest.fixture
def now():
    return timezone.now()


def sending(now, *, started: float, done: int, size: int = 10_000) -> Broadcast:
    """Return a broadcast that started `started` seconds ago, with `done` chats delivered and an empty ledger."""
    broadcast = BroadcastFactory(
        status="sending", audience_size=size, delivered=done, started_at=now - timedelta(seconds=started)
    )
    step = broadcast.steps.create(verb="sending")
    broadcast.steps.filter(pk=step.pk).update(at=broadcast.started_at)
    return broadcast


def chunk(broadcast: Broadcast, now, *, ago: float, delivered: int, skipped: int = 0) -> None:
    number = broadcast.chunks.count()
    broadcast.chunks.create(
        number=number, first_id=number, last_id=number, size=delivered + skipped, delivered=delivered,
        skipped=skipped, done_at=now - timedelta(seconds=ago),
    )  # fmt: skip


@pytest.mark.django_db
def test_the_rate_counts_the_last_ten_seconds(now):
    broadcast = sending(now, started=60, done=6_000)
    chunk(broadcast, now, ago=30, delivered=5_000)
    chunk(broadcast, now, ago=8, delivered=600)
    chunk(broadcast, now, ago=2, delivered=400)

    progress = progress_of(broadcast, now=now)

    assert progress.rate == pytest.approx(100)
    assert progress.remaining == pytest.approx(40)
    assert (progress.done, progress.total, progress.percent) == (6_000, 10_000, 60)


@pytest.mark.django_db
def test_a_young_broadcast_is_judged_by_its_own_age(now):
    broadcast = sending(now, started=2, done=1_000)
    chunk(broadcast, now, ago=1, delivered=1_000)

    assert progress_of(broadcast, now=now).rate == pytest.approx(500)


@pytest.mark.django_db
def test_a_pause_does_not_slow_down_what_comes_after_it(now):
    broadcast = sending(now, started=100, done=2_000)
    chunk(broadcast, now, ago=9, delivered=1_000)
    step = broadcast.steps.create(verb="sending")
    broadcast.steps.filter(pk=step.pk).update(at=now - timedelta(seconds=4))
    chunk(broadcast, now, ago=1, delivered=1_000)

    assert progress_of(broadcast, now=now).rate == pytest.approx(250)


@pytest.mark.django_db
def test_where_nothing_moves_the_time_left_is_unknown(now):
    progress = progress_of(sending(now, started=60, done=10), now=now)

    assert progress.rate == 0
    assert progress.remaining is None


@pytest.mark.django_db
def test_a_paused_broadcast_has_no_rate(now):
    broadcast = sending(now, started=60, done=10)
    chunk(broadcast, now, ago=1, delivered=10)
    services.pause(broadcast=broadcast, actor=None)

    assert progress_of(broadcast, now=now).rate is None


@pytest.mark.django_db
def test_a_finished_broadcast_has_its_average(now):
    broadcast = BroadcastFactory(
        status="sent", audience_size=1_000, delivered=900, skipped=100,
        started_at=now - timedelta(seconds=3), finished_at=now,
    )  # fmt: skip

    progress = progress_of(broadcast, now=now)

    assert (progress.rate, progress.took, progress.percent) == (pytest.approx(300), 3, 100)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.4, "less than a second"),
        (42.2, "42 s"),
        (59.7, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words
