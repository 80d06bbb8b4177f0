"""Events changed and deleted by hand: sessions and counts follow, whether the digest has been there or not."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from events import services
from events.factories import ApplicationFactory
from events.models import Batch, Event, RejectedEvent, Session
from events.rollups import digest
from events.tests.counting import NOON, assert_all_counted, commit

pytestmark = pytest.mark.django_db
WHEN = pytest.mark.parametrize("counted", [True, False], ids=["counted", "not yet counted"])


@pytest.fixture
def event() -> Event:
    shared = {"application": ApplicationFactory(), "session_id": "mine"}
    commit([{**shared, "timestamp": NOON + timedelta(hours=hour)} for hour in (1, 2, 3)], [{}, {}])
    return Event.objects.get(timestamp=NOON + timedelta(hours=3))


@WHEN
def test_a_deleted_event_leaves_its_session_and_its_minute(counted, event, planner):
    if counted:
        digest.run()

    assert services.delete_event(event=event, actor=planner)

    digest.run()
    assert Session.objects.get().last_seen == NOON + timedelta(hours=2)
    assert LogEntry.objects.get().object_id == str(event.pk)
    assert not services.delete_event(event=event)
    assert_all_counted()


@WHEN
def test_a_session_ends_with_its_last_event(counted, event):
    if counted:
        digest.run()

    for one in Event.objects.all():
        services.delete_event(event=one)

    digest.run()
    assert not Session.objects.exists()
    assert_all_counted()


@WHEN
@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": "yours"},
        {"timestamp": NOON - timedelta(days=300)},
        {"category": "other", "name": "thing", "data": {"a": 1}},
        {"session_id": "yours", "timestamp": NOON + timedelta(days=3)},
    ],
)
def test_a_changed_event_is_counted_where_it_is_now(counted, changes, event):
    if counted:
        digest.run()

    changed = services.update_event(event=event, **changes)

    assert all(getattr(changed, name) == value for name, value in changes.items())
    digest.run()
    assert_all_counted()


def test_a_time_that_is_taken_is_refused(event):
    other = Event.objects.exclude(pk=event.pk).first()
    Event.objects.filter(pk=other.pk).update(event_id=event.event_id)

    with pytest.raises(services.ChangeRefused, match="already"):
        services.update_event(event=event, timestamp=other.timestamp)


def test_many_that_are_deleted_at_once_are_one_line_of_the_log(event, planner, django_assert_max_num_queries):
    commit([], [{"category": "shop", "name": "order"} for _ in range(40)])
    ids = list(RejectedEvent.objects.filter(category="shop").values_list("pk", flat=True))

    with django_assert_max_num_queries(10):
        assert services.delete_rejected(ids=ids, actor=planner) == 40

    assert "40 rejected events, such as shop / order" in LogEntry.objects.get().change_message


@WHEN
def test_a_deleted_rejected_event_is_counted_no_more(counted, event):
    if counted:
        digest.run()
    wrong = RejectedEvent.objects.first()

    assert services.delete_rejected(ids=[wrong.pk, wrong.pk + 10_000]) == 1

    if not counted:
        assert Batch.objects.get().rejected == 1
    digest.run()
    assert_all_counted()
