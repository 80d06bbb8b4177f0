"""Charts and statistics in local days and hours, compared with a walk over every minute."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import quote

import pytest
from django.utils.dateparse import parse_datetime

from core.tests.zone_walk import by_day, by_hour, clock, in_zones, minutes_around, parts
from events.factories import ApplicationFactory, EventFactory
from events.models import Event, Minute
from events.tests.counting import count_all

pytestmark = pytest.mark.django_db
EXPLORER = "/admin/events/event/"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(db):
    return ApplicationFactory(name="Web shop")


def happen_around(day, application) -> list[datetime]:
    """Make an event at the beginning and one at the end of every hour, over four days; return their moments."""
    hours = [at for at in minutes_around(day) if at.minute == 0]
    moments = hours + [at + timedelta(minutes=59, seconds=50) for at in hours]
    events = [EventFactory.build(application=application, timestamp=at, session_id="abc") for at in moments]
    Event.objects.bulk_create(events)
    count_all()
    return moments


def utc_text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def expected_parts(zone, day, key, days) -> list[tuple[datetime, datetime]]:
    return parts(zone, minutes_around(day, days), key)[1:-1]


# --- GET /events/stats/ -------------------------------------------------------------------------------
@in_zones
@pytest.mark.parametrize(("interval", "key", "days"), [("day", by_day, 2), ("hour", by_hour, 1)])
def test_statistics_count_local_days_and_hours(viewer_api, shop, zone, day, hours, interval, key, days):
    moments = happen_around(day, shop)
    expected = expected_parts(zone, day, key, days)
    asked = {"tz": zone, "interval": interval, "from": utc_text(expected[0][0]), "to": utc_text(expected[-1][1])}

    found = viewer_api.get("/events/stats/", asked).json()

    times = [parse_datetime(at) for at in found["times"]]
    assert times == [begin for begin, _ in expected]
    assert [at.utcoffset() for at in times] == [clock(zone, at).utcoffset() for at in times]
    counts = [sum(begin <= at < end for at in moments) for begin, end in expected]
    assert found["series"][0]["events"] == counts


def test_statistics_are_of_utc_without_a_zone_and_refuse_an_unknown_one(viewer_api, shop):
    asked = {"interval": "day", "from": "2026-05-04T00:00:00+02:00", "to": "2026-05-05T00:00:00Z"}

    assert viewer_api.get("/events/stats/", asked).json()["times"] == ["2026-05-03T00:00:00Z", "2026-05-04T00:00:00Z"]
    for name in ("Europe/Atlantis", "../../etc/passwd", "localtime", "x" * 65, "\x00"):
        answer = viewer_api.get("/events/stats/", {"tz": name})
        assert answer.status_code == 400 and "tz" in answer.json()["errors"], name


# --- Charts of the admin ------------------------------------------------------------------------------
@in_zones
@pytest.mark.parametrize(
    ("days", "key"), [(40, by_day), (1.5, by_hour), (7, lambda at: (at.date(), at.hour // 3))],
    ids=["days", "hours", "three hours"],
)  # fmt: skip
@pytest.mark.parametrize("session", ["", pytest.param("abc", marks=pytest.mark.thorough)], ids=["minutes", "a session"])
def test_bars_are_local_days_and_hours_and_lead_to_what_they_count(
    as_viewer, shop, zone, day, hours, days, key, session
):
    happen_around(day, shop)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    start, end = noon - timedelta(days=days / 2, minutes=7), noon + timedelta(days=days / 2, minutes=7)
    minutes = [start + MINUTE * number for number in range((end - start) // MINUTE)]
    as_viewer.cookies["opsroom_zone"] = quote(zone, safe="")
    asked = {"from": utc_text(start), "to": utc_text(end), "session": session}

    chart = as_viewer.get(EXPLORER, asked).context["chart"]

    assert [(bar.start, bar.end) for bar in chart.bars] == parts(zone, minutes, key)
    assert chart.events == sum(bar.events for bar in chart.bars) > 0
    for bar in chart.bars:
        if bar.events:
            shown = as_viewer.get(EXPLORER, {**asked, "from": bar.begins, "to": bar.ends}).context
            assert shown["chart"].events == len(shown["rows"]) == bar.events
            break


@in_zones
def test_no_two_bars_of_a_chart_have_the_same_label(as_viewer, shop, zone, day, hours):
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    as_viewer.cookies["opsroom_zone"] = quote(zone, safe="")

    for days in (1, 20):
        ends = {"from": utc_text(noon - timedelta(days=days)), "to": utc_text(noon + timedelta(days=days))}
        EventFactory(application=shop, timestamp=noon)
        labels = [bar.label for bar in as_viewer.get(EXPLORER, ends).context["chart"].bars]
        assert len(labels) == len(set(labels))


def test_a_chart_counts_the_minutes_that_its_range_begins_and_ends_in(as_viewer, shop):
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)
    EventFactory(application=shop, timestamp=at)
    for minutes in (0, 1, 2):
        Minute.objects.create(minute=at + MINUTE * minutes, application=shop, category="a", name="b", events=1)

    chart = as_viewer.get(EXPLORER, {"from": "2026-05-04T12:00:30Z", "to": "2026-05-04T12:01:30Z"}).context["chart"]

    assert (chart.events, chart.bars[0].start, chart.bars[-1].end) == (2, at, at + MINUTE * 2)
    assert all(one.end == two.start for one, two in pairwise(chart.bars))
