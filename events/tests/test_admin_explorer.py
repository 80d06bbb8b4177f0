"""The explorer: what happened, by application, type, session and time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from events.factories import ApplicationFactory, EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import Application, Batch, Event, Minute, Session
from events.rollups import digest
from events.tests.counting import commit, count_all

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/events/event/"


@pytest.fixture
def shop() -> Application:
    return ApplicationFactory(name="Shop")


def shown(client, query: str = "") -> str:
    answer = client.get(ADDRESS + query)
    assert answer.status_code == 200
    return answer.content.decode()


def rows(page: str) -> int:
    return page.count("<tr data-event=")


def count(at: datetime, application: Application, **numbers: int) -> Minute:
    at = at.replace(second=0, microsecond=0)
    return Minute.objects.create(
        minute=at, application=application, category="page interaction", name="pageview", **numbers
    )


# --- Filters, in the address --------------------------------------------------------------------------
def test_events_are_found_by_application_type_and_session(as_viewer, shop):
    EventFactory(application=shop, session_id="abc", category="form interaction", name="submit")
    EventFactory(application=shop, session_id="abd")
    EventFactory()
    count_all()

    assert rows(shown(as_viewer)) == 3
    assert rows(shown(as_viewer, f"?application={shop.pk}")) == 2
    assert rows(shown(as_viewer, "?session=abc")) == 1
    assert rows(shown(as_viewer, "?category=form+interaction")) == 1
    assert rows(shown(as_viewer, "?type=form+interaction+/+submit")) == 1
    assert rows(shown(as_viewer, "?type=page+interaction+/+submit")) == 0


@pytest.mark.parametrize("is_described", [True, False])
def test_a_type_whose_words_have_the_separator_in_them_is_found(as_viewer, shop, is_described):
    for category, name in (
        ("web / shop", "sale / paid"),
        ("web", "shop"),
        ("web", "shop / other"),
        ("web / blog", "read"),
    ):
        EventFactory(application=shop, category=category, name=name)
        if is_described:
            EventTypeFactory(category=category, name=name)
    count_all()

    for typed in ("web / shop / sale / paid", "web / shop", "web / shop / other", "web / blog / read", "web / blog"):
        page = as_viewer.get(ADDRESS, {"type": typed})
        assert page.context["filters"].type == typed
        assert rows(page.content.decode()) == 1, typed


def test_a_range_of_time_is_a_preset_or_two_moments(as_viewer, shop):
    now = timezone.now()
    for hours in (0, 3, 100, 2000):
        EventFactory(application=shop, timestamp=now - timedelta(hours=hours))

    found = [rows(shown(as_viewer, f"?range={name}")) for name in ("1h", "24h", "7d", "30d", "all")]
    exact = shown(
        as_viewer,
        f"?from={now - timedelta(hours=101):%Y-%m-%dT%H:%M:%SZ}&to={now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    )

    assert found == [1, 2, 3, 3, 4] and rows(exact) == 2


def test_moments_are_meant_in_the_viewers_zone(as_viewer, shop):
    EventFactory(application=shop, timestamp=datetime(2026, 3, 1, 11, 30, tzinfo=UTC))
    as_viewer.cookies["opsroom_zone"] = "Asia%2FTokyo"

    assert rows(shown(as_viewer, "?from=2026-03-01T20:00&to=2026-03-01T21:00")) == 1
    assert rows(shown(as_viewer, "?from=2026-03-01T11:00&to=2026-03-01T12:00")) == 0


@pytest.mark.parametrize(
    "query",
    [
        "?application=x&range=1y&from=never&cursor=x.y", "?from=9999-12-31T23:59:59Z&to=0001-01-01T00:00Z",
        "?cursor=W3RydWUsMSwxXQ==", "?cursor=%00", "?cursor=W3RydWUsIjIwMzAtMDEtMDEiLDFd", "?cursor=WzFd",
        "?session=%00%00", "?cursor=W3RydWUsIjIwMzAtMDEtMDFUMDA6MDArMDA6MDAiLC0xXQ==",
        "?from=+14:00",
        "?type=%F0%9F%98%80", "?from=2026-01-01T00:00:00%2B14:00", "?application=" + "9" * 30,
    ],
)  # fmt: skip
def test_nonsense_in_the_address_is_passed_over(as_viewer, shop, query):
    EventFactory(application=shop)

    shown(as_viewer, query)


# --- The table ----------------------------------------------------------------------------------------
def test_the_newest_come_first_page_by_page_and_back(as_viewer, shop):
    at = timezone.now()
    for number in range(120):  # some at the same moment
        EventFactory(application=shop, timestamp=at - timedelta(seconds=number // 3), event_id=None or f"{number:032x}")

    first = as_viewer.get(ADDRESS).context
    second = as_viewer.get(ADDRESS, {"cursor": first["page"].next}).context
    third = as_viewer.get(ADDRESS, {"cursor": second["page"].next}).context
    back = as_viewer.get(ADDRESS, {"cursor": third["page"].previous}).context
    seen = [event.pk for context in (first, second, third) for event, _ in context["rows"]]

    assert len(seen) == 120 == len(set(seen))
    assert [event.pk for event, _ in back["rows"]] == [event.pk for event, _ in second["rows"]]
    assert not third["page"].next and not first["page"].previous


def test_few_events_among_many_are_all_found_page_by_page(as_viewer, shop):
    now, other = timezone.now(), ApplicationFactory()
    for number in range(120):
        at = now - timedelta(minutes=7 * number)
        EventFactory(application=shop, timestamp=at)
        EventFactory(application=other, timestamp=at)
        count(at, shop, events=1)
    first = as_viewer.get(ADDRESS, {"application": shop.pk, "range": "all"}).context
    second = as_viewer.get(ADDRESS, {"application": shop.pk, "range": "all", "cursor": first["page"].next}).context
    rest = as_viewer.get(ADDRESS, {"application": shop.pk, "range": "all", "cursor": second["page"].next}).context

    found = [event.application_id for context in (first, second, rest) for event, _ in context["rows"]]
    assert found == [shop.pk] * 120 and not rest["page"].next


def test_what_was_deleted_but_is_counted_still_hides_nothing(as_viewer, shop):
    now = timezone.now()
    for number in range(60):
        count(now - timedelta(minutes=number), shop, events=1)
    count(now - timedelta(days=9), shop, events=1)
    EventFactory(application=shop, timestamp=now - timedelta(days=9))

    assert rows(shown(as_viewer, f"?application={shop.pk}&range=all")) == 1


def test_any_number_of_events_takes_the_same_few_queries(as_viewer, shop, django_assert_max_num_queries):
    EventTypeFactory.create_batch(3)
    EventFactory.create_batch(40)

    with django_assert_max_num_queries(12):
        shown(as_viewer)


def test_what_is_not_first_or_has_an_end_does_not_move(as_viewer, shop):
    EventFactory(application=shop)

    assert 'data-live="events"' in shown(as_viewer)
    assert 'data-live="events"' not in shown(as_viewer, "?from=2020-01-01T00:00&to=2030-01-01T00:00")


def test_the_live_part_is_what_the_page_shows(as_viewer, shop):
    EventFactory(application=shop, session_id="abc")

    part = as_viewer.get(ADDRESS + "live/?session=abc").content.decode()

    assert rows(part) == 1 and "<html" not in part


# --- One event ----------------------------------------------------------------------------------------
def test_one_event_is_readable_beside_the_table_and_at_its_own_address(as_viewer):
    event = EventFactory(data={"path": "/<b>", "price": 12.5})

    beside = as_viewer.get(f"{ADDRESS}{event.pk}/beside/").content.decode()
    page = as_viewer.get(f"{ADDRESS}{event.pk}/change/").content.decode()

    for text in (beside, page):
        assert "/&lt;b&gt;" in text and "12.5" in text and str(event.event_id) in text
    assert "<html" not in beside and "<html" in page


@pytest.mark.parametrize("pk", ["999", "9" * 30, "x"])
def test_an_event_that_is_not_there_is_not_found(as_viewer, pk):
    assert as_viewer.get(f"{ADDRESS}{pk}/change/").status_code == 404


def test_counts_that_are_behind_are_said_so_in_words(as_viewer, shop):
    commit([{"application": shop}])
    assert "behind" not in shown(as_viewer)

    Batch.objects.update(created_at=timezone.now() - timedelta(hours=2, minutes=10))

    assert "The counts are 2 h 10 min behind" in shown(as_viewer)
    assert "The counts are 2 h 10 min behind" in as_viewer.get("/admin/").content.decode()
    digest.run()
    assert "behind" not in shown(as_viewer)


# --- The chart ----------------------------------------------------------------------------------------
def test_the_chart_counts_a_range_by_the_minutes_rejected_ones_too(as_viewer, shop):
    now = timezone.now()
    count(now - timedelta(minutes=30), shop, events=30, rejected=10)
    count(now - timedelta(hours=5), shop, events=5)
    count(now - timedelta(minutes=30), ApplicationFactory(), events=7)
    EventFactory(application=shop)

    hour = as_viewer.get(ADDRESS, {"range": "1h", "application": shop.pk}).context["chart"]
    day = as_viewer.get(ADDRESS, {"range": "24h"}).context["chart"]

    assert (hour.events, hour.rejected, hour.share, hour.most) == (30, 10, 25.0, 40)
    assert day.events == 42 and 40 <= len(day.bars) <= 61
    assert sum(bar.events for bar in day.bars) == 42


def test_a_sessions_chart_counts_its_own_events(as_viewer, shop):
    count(timezone.now(), shop, events=30)
    EventFactory.create_batch(3, application=shop, session_id="abc")

    assert as_viewer.get(ADDRESS, {"session": "abc"}).context["chart"].events == 3


def test_all_time_begins_with_the_first_event(as_viewer, shop):
    count(datetime(2021, 1, 1, 9, 15, tzinfo=UTC), shop, events=3)
    EventFactory(application=shop, timestamp=datetime(2021, 1, 1, 9, 15, tzinfo=UTC))

    chart = as_viewer.get(ADDRESS, {"range": "all"}).context["chart"]

    assert chart.events == 3 and len(chart.bars) <= 61 and chart.bars[0].start.year <= 2021


@pytest.mark.parametrize("zone", ["America%2FNew_York", "Asia%2FTokyo"])
def test_all_time_may_begin_with_the_first_year(as_viewer, shop, zone):
    first = datetime(1, 1, 1, 0, 30, tzinfo=UTC)
    count(first, shop, events=1)
    EventFactory(application=shop, timestamp=first, session_id="old")
    as_viewer.cookies["opsroom_zone"] = zone

    for query in ({"range": "all"}, {"range": "all", "session": "old"}):
        chart = as_viewer.get(ADDRESS, query).context["chart"]
        assert chart.events == 1 and len(chart.bars) <= 61
    assert as_viewer.get("/admin/events/session/old/change/").status_code == 200


# --- Nothing there, and nobody's business -------------------------------------------------------------
def test_an_empty_house_shows_how_to_send_the_first_event(as_viewer):
    page = shown(as_viewer)

    assert "No events yet" in page and "http://testserver/events/" in page and "YOUR_WRITE_KEY" in page


def test_an_empty_range_says_what_was_rejected_meanwhile(as_viewer, shop):
    EventFactory(application=shop, timestamp=timezone.now() - timedelta(days=3))
    RejectedEventFactory(application=shop)
    count(timezone.now() - timedelta(minutes=3), shop, rejected=412)

    page = shown(as_viewer, "?range=1h")

    assert "412 were rejected in this time" in page and "Show all time" in page


def test_the_export_has_the_same_filters(as_viewer, shop):
    EventFactory(application=shop)

    page = shown(
        as_viewer, f"?application={shop.pk}&category=page+interaction&from=2026-01-01T00:00&to=2026-02-01T00:00"
    )

    wanted = f"/events/export/?application={shop.pk}&amp;category=page+interaction&amp;from=2026-01-01T00%3A00%3A00Z"
    assert wanted in page and "format=csv" in page and "format=ndjson" in page


@pytest.mark.parametrize("part", ["", "live/", "1/beside/", "1/change/"])
def test_a_stranger_sees_nothing(as_stranger, part):
    assert as_stranger.get(ADDRESS + part).status_code == 403


def test_nobody_adds_or_changes_events_by_hand(as_superuser):
    EventFactory(pk=1, name="pageview")

    assert as_superuser.post(f"{ADDRESS}add/", {"name": "other"}).status_code == 403
    as_superuser.post(f"{ADDRESS}1/change/", {"name": "other"})

    assert Event.objects.get().name == "pageview"


def test_a_deleted_event_is_subtracted_from_its_session_and_logged_once(as_analyst, analyst, shop):
    commit([{"application": shop}])
    digest.run()
    event = Event.objects.get()
    assert Session.objects.exists()

    page = as_analyst.get(f"{ADDRESS}{event.pk}/delete/")
    answer = as_analyst.post(f"{ADDRESS}{event.pk}/delete/", {"post": "yes"})

    assert "Delete the event" in page.content.decode()
    assert answer.status_code == 302
    assert not Event.objects.exists() and not Session.objects.exists()
    assert LogEntry.objects.get(user=analyst).object_id == str(event.pk)


def test_who_may_only_read_events_deletes_none(as_viewer):
    EventFactory(pk=1)

    assert as_viewer.post(f"{ADDRESS}1/delete/", {"post": "yes"}).status_code == 403
    assert "/delete/" not in as_viewer.get(f"{ADDRESS}1/beside/").content.decode()
