"""Days, hours and times of day on local clocks, compared with a walk over every minute."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from core import timezones
from core.tests.zone_walk import CHANGES, IDS, by_day, by_hour, clock, minutes_around, minutes_of, parts
from core.timezones import MissingTime, boundaries, day_bounds, same_clock_on, valid_moments, with_zone

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES, ids=IDS)
def test_a_local_day_has_the_minutes_that_its_clock_shows(zone, day, hours):
    minutes = minutes_of(zone, day)

    begin, end = day_bounds(day, ZoneInfo(zone))

    assert (begin, end) == (minutes[0], minutes[-1] + timedelta(minutes=1))
    assert end - begin == HOUR * hours


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES, ids=IDS)
@pytest.mark.parametrize(
    ("step", "key"),
    [
        (DAY, by_day),
        (HOUR, by_hour),
        (HOUR * 6, lambda local: (local.date(), local.hour // 6)),
        (HOUR / 2, lambda local: (local.date(), local.hour, local.minute // 30, local.utcoffset())),
    ],
    ids=["days", "hours", "six hours", "half hours"],
)
def test_boundaries_are_where_the_local_clock_begins_another_step(zone, day, hours, step, key):
    minutes = minutes_around(day)
    expected = parts(zone, minutes, key)[1:-1]  # the walk cuts the first and the last
    start, end = expected[0][0], expected[-1][1]

    found = list(boundaries(start, end, step, ZoneInfo(zone)))
    cut = list(boundaries(start + timedelta(seconds=61), end - timedelta(seconds=61), step, ZoneInfo(zone)))

    assert list(pairwise(found)) == expected
    assert cut == found


def test_a_skipped_day_has_no_length_and_no_boundary():
    apia = ZoneInfo("Pacific/Apia")
    begin, end = day_bounds(date(2011, 12, 30), apia)

    assert begin == end
    found = [clock("Pacific/Apia", at).day for at in boundaries(begin - DAY, end + DAY, DAY, apia)]
    assert found == [29, 31, 1]
    assert same_clock_on(date(2011, 12, 30), begin, apia) is None


@pytest.mark.parametrize("year", [1, 9999])
@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/New_York", "UTC"])
@pytest.mark.parametrize("step", [HOUR / 4, HOUR, HOUR * 3, DAY])
def test_boundaries_exist_at_the_ends_of_the_calendar(year, zone, step):
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, tzinfo=UTC)
    start, end = (start, start + DAY) if year == 1 else (end - DAY, end)

    found = list(boundaries(start, end, step, ZoneInfo(zone)))

    assert found[0] <= start + DAY and found == sorted(set(found))


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES, ids=IDS)
def test_each_time_of_a_day_is_one_moment_or_two_or_missing(zone, day, hours):
    shown: dict[datetime, list[datetime]] = {}
    for at in minutes_of(zone, day):
        shown.setdefault(clock(zone, at).replace(tzinfo=None, fold=0), []).append(at)
    midnight = datetime(day.year, day.month, day.day)

    for number in range(0, 1440, 5):
        typed = midnight + timedelta(minutes=number)
        if typed in shown:
            assert valid_moments(typed, ZoneInfo(zone)) == shown[typed]
        else:
            with pytest.raises(MissingTime) as missing:
                valid_moments(typed, ZoneInfo(zone))
            assert missing.value.following == min(time for time in shown if time > typed)


def test_a_time_that_does_not_exist_names_the_next_one():
    with pytest.raises(MissingTime) as missing:
        valid_moments(datetime(2026, 3, 29, 2, 30), ZoneInfo("Europe/Berlin"))

    assert str(missing.value) == (
        "The clocks in Europe/Berlin go forward on 29 March 2026: this time does not exist."
        " The next valid time is 29 Mar 2026, 03:00."
    )


def test_a_time_moves_to_another_day_on_the_local_clock():
    berlin = ZoneInfo("Europe/Berlin")
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 CET, the second one

    assert same_clock_on(date(2026, 10, 26), second, berlin) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert same_clock_on(date(2026, 10, 24), second, berlin) == datetime(2026, 10, 24, 0, 30, tzinfo=UTC)
    assert same_clock_on(date(2026, 3, 29), second, berlin) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berlin", "25 Oct 2026, 02:30 CET"),
        ("Asia/Kolkata", "25 Oct 2026, 07:00 IST"),
        ("Australia/Lord_Howe", "25 Oct 2026, 12:30 UTC+11:00"),
        ("UTC", "25 Oct 2026, 01:30 UTC"),
    ],
)
def test_a_moment_in_words_names_its_zone(zone, words):
    assert with_zone(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ZoneInfo(zone)) == words
    assert timezones.zone_words(ZoneInfo("America/New_York")) == "America/New York"
