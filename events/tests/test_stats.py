"""Charts and groups: what the counts and the index of groups answer."""

from datetime import timedelta

import pytest

from events.factories import ApplicationFactory, RejectedEventFactory
from events.rejected.groups import groups
from events.rollups import digest
from events.rollups.timeseries import MAX_SERIES, stats
from events.tests.counting import NOON, commit

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def test_every_interval_has_a_count_also_those_without_events():
    application = ApplicationFactory()
    mine = {"application": application}
    commit(
        [{**mine, "timestamp": NOON}, {**mine, "timestamp": NOON + HOUR * 2.99}, {"timestamp": NOON + HOUR * 3}],
        [{**mine, "received_at": NOON + timedelta(minutes=61)}],
    )
    digest.run()

    found = stats(start=NOON + timedelta(minutes=20), end=NOON + HOUR * 3, interval="hour")

    assert found.times == [NOON, NOON + HOUR, NOON + HOUR * 2]
    assert [(one.group, one.events, one.rejected) for one in found.series] == [(None, [1, 0, 1], [0, 1, 0])]
    days = stats(start=NOON, end=NOON + HOUR, interval="day", application=application.pk)
    assert days.times == [NOON - HOUR * 12] and days.series[0].events == [2]


def test_groups_come_by_their_size_and_the_small_ones_together():
    application = ApplicationFactory(name="Website")
    for number in range(MAX_SERIES + 2):
        commit([{"application": application, "name": f"n{number:02}"} for _ in range(MAX_SERIES + 3 - number)])
    digest.run()

    by_name = stats(start=NOON, end=NOON + HOUR, by="name").series
    by_application = stats(start=NOON, end=NOON + HOUR, by="application", category="page interaction").series

    assert by_name[0].group == "page interaction / n00"
    assert (len(by_name), by_name[-1].group, by_name[-1].events) == (MAX_SERIES + 1, None, [3 + 2])
    assert [one.group for one in by_application] == ["Website"]


def test_nothing_is_a_row_of_zeros():
    assert stats(start=NOON, end=NOON + HOUR * 2).series[0].events == [0, 0]
    assert stats(start=NOON, end=NOON, by="name").series == []


def test_an_answer_is_bounded():
    with pytest.raises(ValueError, match="longer interval"):
        stats(start=NOON, end=NOON + timedelta(days=30), interval="minute")


def test_rejected_events_come_in_groups_with_a_sample():
    application = ApplicationFactory(name="Website")
    shared = {"application": application, "code": "required", "pointer": "/data/host"}
    newest = [RejectedEventFactory(**shared, received_at=NOON + HOUR * hour) for hour in range(3)][-1]
    RejectedEventFactory(application=application, code="type", received_at=NOON)

    first, second = groups()

    assert (first.application_name, first.code, first.pointer, first.count) == ("Website", "required", "/data/host", 3)
    assert (first.first_received, first.last_received, first.sample) == (NOON, NOON + HOUR * 2, newest.pk)
    assert second.code == "type"
    assert [group.count for group in groups(since=NOON + HOUR, application=application.pk, code="required")] == [2]
    assert groups(category="other") == []
