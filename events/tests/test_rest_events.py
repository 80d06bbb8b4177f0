"""Events and sessions over REST, as a client meets them."""

import html
import json
import re
from datetime import datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from events.factories import ApplicationFactory, EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import Batch, Event
from events.query import export
from events.rollups import digest
from events.tests.counting import NOON, assert_all_counted, commit, count_all

pytestmark = pytest.mark.django_db


def listed(api, address: str) -> list[int]:
    answer = api.get(address)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


@pytest.fixture
def three() -> list[int]:
    """The third of them is the newest."""
    application = ApplicationFactory(pk=1_000)
    shared = {"application": application, "session_id": "mine"}
    events = [
        EventFactory(**shared, name="pageview", timestamp=NOON),
        EventFactory(**shared, name="cta click", timestamp=NOON + timedelta(seconds=1)),
        EventFactory(category="form interaction", name="submit", timestamp=NOON + timedelta(hours=1)),
    ]
    count_all()
    return [event.pk for event in events]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ("", [2, 1, 0]),
        ("session=mine", [1, 0]),
        ("category=form interaction", [2]),
        ("category=page interaction&name=pageview", [0]),
        ("application=1000", [1, 0]),
        ("name=cta click", [1]),
        ("name=nothing", []),
        ("application=1000&session=mine&name=pageview", [0]),
        (f"application=1000&to={quote((NOON + timedelta(seconds=1)).isoformat())}", [0]),
        (f"from={quote((NOON + timedelta(seconds=1)).isoformat())}", [2, 1]),
        (f"to={quote((NOON + timedelta(seconds=1)).isoformat())}", [0]),
        ("session=mine&from=2026-05-04T12:00:01&to=2026-05-04T13:00:00Z", [1]),
        ("session=nobody", []),
    ],
)
def test_events_are_found_newest_first(query, places, three, viewer_api):
    assert listed(viewer_api, f"/events/?{query}") == [three[place] for place in places]


def test_an_event_is_found_by_the_id_its_application_knows(three, viewer_api):
    event = Event.objects.get(pk=three[1])

    assert listed(viewer_api, f"/events/?event_id={event.event_id}") == [event.pk]
    assert listed(viewer_api, f"/events/?event_id={uuid4()}") == []


@pytest.mark.parametrize(
    "query", ["from=yesterday", "to=99999-01-01", "application=x", "application=1e400", "event_id=1", "session=%00"]
)
def test_a_filter_that_is_none_is_refused(query, viewer_api):
    answer = viewer_api.get(f"/events/?{query}")

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) == {query.partition("=")[0]}


@pytest.mark.parametrize("same", [True, False], ids=["at the same moment", "at different moments"])
def test_pages_hold_every_event_once_forth_and_back(same, viewer_api):
    application = ApplicationFactory()
    for number in range(7):
        EventFactory(application=application, timestamp=NOON if same else NOON + timedelta(seconds=number))
    expected = [event.pk for event in Event.objects.order_by("-timestamp", "-id")]

    pages, backwards = [], []
    address = "/events/?page_size=3"
    while address:
        answer = viewer_api.get(address).json()
        pages.append([row["id"] for row in answer["results"]])
        address, previous = answer["next"], answer["previous"]
    while previous:
        answer = viewer_api.get(previous).json()
        backwards.append([row["id"] for row in answer["results"]])
        previous = answer["previous"]

    assert pages == [expected[:3], expected[3:6], expected[6:]]
    assert backwards == [expected[3:6], expected[:3]]
    assert viewer_api.get("/events/?cursor=bm9uc2Vuc2U").status_code == 404


def asked_of_events(api, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert api.get(address).status_code == 200
    return [query["sql"] for query in queries if "events_event" in query["sql"]]


@pytest.fixture
def empty_tables(db) -> None:
    """Tables without the pages and statistics that other tests have left, which the choice of an index depends on."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE events_event, events_minute")


def test_a_list_is_one_statement_by_one_index_of_the_partitions_it_needs(empty_tables, three, viewer_api):
    assert len(asked_of_events(viewer_api, "/events/?session=mine&from=2026-01-01")) == 1
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        plans = {}
        for name, address in {
            "session_id": "session=mine",
            "category": "category=page interaction",
            "newest": "from=2026-05-01&to=2026-06-01",
        }.items():
            cursor.execute("EXPLAIN (COSTS OFF) " + asked_of_events(viewer_api, f"/events/?{address}")[-1])
            plans[name] = "\n".join(row[0] for row in cursor.fetchall())
    assert "session_id_timestamp_id_idx" in plans["session_id"]
    assert "category_timestamp_id_idx" in plans["category"]
    assert "timestamp_id_idx" in plans["newest"] and "events_event_y" not in plans["newest"]


@pytest.fixture
def few_among_many() -> list[int]:
    """Ids of what one small application has sent in a hundred days, the newest first; another has sent all the time."""
    small, large = ApplicationFactory(pk=1_000), ApplicationFactory()
    for hour in range(0, 2_400, 40):
        EventFactory(application=large, timestamp=NOON - timedelta(hours=hour))
    found = [
        EventFactory(application=small, name="rare", timestamp=NOON - timedelta(days=day, seconds=second))
        for day in (1, 4, 7)
        for second in (0, 1)
    ]
    count_all()
    return [event.pk for event in found]


@pytest.mark.parametrize("query", ["application=1000", "name=rare", "category=page interaction&name=rare"])
def test_few_among_many_are_found_where_they_are_and_nothing_else_is_read(
    query, few_among_many, viewer_api, monkeypatch
):
    assert len(asked_of_events(viewer_api, f"/events/?{query}")) == 1  # so little lies between that it is read as well
    monkeypatch.setattr("events.query.time_slices.EVENTS_PER_QUERY", 0)
    asked = asked_of_events(viewer_api, f"/events/?{query}")

    assert listed(viewer_api, f"/events/?{query}") == few_among_many
    spans = [re.findall(r"timestamp\" [<>]=? '([^']+)'", sql) for sql in asked]
    assert [len(span) for span in spans] == [2] * 3  # three minutes
    for start, end in spans:
        assert datetime.fromisoformat(end) - datetime.fromisoformat(start) <= timedelta(minutes=2)
    assert asked_of_events(viewer_api, f"/events/?{query}&to=2026-01-01") == []


def test_few_among_many_are_paged_forth_and_back(few_among_many, viewer_api):
    first = viewer_api.get("/events/?application=1000&page_size=4").json()
    second = viewer_api.get(first["next"]).json()
    back = viewer_api.get(second["previous"]).json()

    assert [row["id"] for page in (first, second) for row in page["results"]] == few_among_many
    assert second["next"] is None and back["results"] == first["results"] and back["previous"] is None


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_of_few_among_many_reads_where_they_are(form, few_among_many, viewer_api, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 4)
    with CaptureQueriesContext(connection) as queries:
        text = b"".join(viewer_api.get(f"/events/export/?name=rare&format={form}").streaming_content)

    assert len(text.splitlines()) == 6 + (form == "csv")
    asked = [query["sql"] for query in queries if "events_event" in query["sql"]]
    assert asked and all(sql.count('"timestamp" <') and sql.count('"timestamp" >=') for sql in asked)


def test_what_no_name_or_application_has_sent_is_known_without_a_look(few_among_many, viewer_api):
    assert asked_of_events(viewer_api, "/events/?name=nothing") == []
    assert b"".join(viewer_api.get("/events/export/?name=nothing&format=ndjson").streaming_content) == b""


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(minutes=50)])
def test_what_is_not_counted_yet_is_found_too(ago, few_among_many, viewer_api):
    moment = timezone.now() - ago
    commit([{"application_id": 1_000, "name": "rare", "timestamp": moment}])

    assert len(listed(viewer_api, "/events/?name=rare")) == 7
    assert listed(viewer_api, f"/events/?name=rare&to={quote((moment).isoformat())}") == few_among_many


def test_where_the_digest_is_far_behind_all_that_waits_is_searched(few_among_many, viewer_api):
    commit([{"application_id": 1_000, "name": "rare", "timestamp": NOON - timedelta(days=60)}])
    assert len(listed(viewer_api, "/events/?name=rare")) == 6  # it came late, and is counted in a moment

    Batch.objects.update(created_at=timezone.now() - timedelta(minutes=2))

    assert len(listed(viewer_api, "/events/?name=rare")) == 7
    digest.run()
    assert len(listed(viewer_api, "/events/?name=rare")) == 7


def test_where_the_minutes_are_looked_up_there_is_an_index(empty_tables, few_among_many, viewer_api):
    plans = {}
    for query in ("name=rare", "application=1000"):
        with CaptureQueriesContext(connection) as queries:
            viewer_api.get(f"/events/?{query}")
        sql = next(query["sql"] for query in queries if '"events" > 0' in query["sql"])
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN (COSTS OFF) {sql}")
            plans[query.partition("=")[0]] = "\n".join(row[0] for row in cursor.fetchall())
    assert "events_minute_name" in plans["name"] and "Sort" not in plans["name"]
    assert "events_minute_application" in plans["application"] and "Sort" not in plans["application"]


def test_a_put_of_what_get_gave_changes_nothing(analyst_api):
    commit([{"application": ApplicationFactory(), "data": {"b": 1.0, "a": [True, 1, "x"]}, "session_id": "mine"}])
    address = f"/events/{Event.objects.get().pk}/"

    answer = analyst_api.put(address, analyst_api.get(address).json())

    assert answer.status_code == 200, answer.content
    assert answer.json() == analyst_api.get(address).json()
    assert not LogEntry.objects.exists()
    assert analyst_api.patch(address, {"data": {"b": True, "a": [True, 1, "x"]}}).json()["data"]["b"] is True
    assert LogEntry.objects.count() == 1


def test_an_event_is_changed_and_its_session_follows(analyst_api):
    commit([{"application": ApplicationFactory(), "session_id": "mine"}])
    digest.run()
    event = Event.objects.get()

    answer = analyst_api.patch(f"/events/{event.pk}/", {"session_id": "yours", "data": {"host": "a"}})

    assert answer.status_code == 200, answer.content
    assert (answer.json()["session_id"], answer.json()["data"]) == ("yours", {"host": "a"})
    assert analyst_api.delete(f"/events/{event.pk}/").status_code == 204
    assert_all_counted()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"data": {"host": 5}}, "data"),
        ({"data": {"host": "\0"}}, "data"),
        ({"data": []}, "data"),
        ({"session_id": ""}, "session_id"),
        ({"timestamp": "2999-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
    ],
)
def test_a_change_must_leave_a_right_event(change, field, three, analyst_api):
    schema = {"properties": {"host": {"type": "string"}}}
    EventTypeFactory(category="page interaction", name="pageview", schema=schema)

    answer = analyst_api.patch(f"/events/{three[0]}/", change)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


@pytest.mark.parametrize("body", ["[" * 100_000, '{"data": ' * 5_000, '{"data": 1e400}', '{"data": NaN}', "\x00"])
def test_a_hostile_body_is_the_senders_error(body, three, analyst_api):
    answer = analyst_api.patch(f"/events/{three[0]}/", body, content_type="application/json")

    assert answer.status_code == 400


@pytest.mark.parametrize("number", ["1e20", "-1e19", "1.7976931348623157e308", "1e-300", "18446744073709551615"])
def test_an_event_with_a_number_that_the_ingest_takes_can_be_changed(number, three, analyst_api):
    Event.objects.filter(pk=three[0]).update(data=RawSQL("%s::jsonb", [f'{{"n": {number}}}']))
    address = f"/events/{three[0]}/"

    assert analyst_api.patch(address, {"session_id": "yours"}).status_code == 200
    told = analyst_api.get(address).json()["data"]
    assert analyst_api.patch(address, {"data": {**told, "more": 1}}).status_code == 200
    assert float(analyst_api.get(address).json()["data"]["n"]) == float(number)


@pytest.mark.parametrize("number", ["100000000000000000001", "9" * 309, "9" * 4_000])
def test_a_number_that_the_ingest_would_round_is_refused(number, three, analyst_api):
    body = f'{{"data": {{"n": {number}}}}}'

    answer = analyst_api.patch(f"/events/{three[0]}/", body, content_type="application/json")

    assert answer.status_code == 400 and "64 bits" in answer.json()["errors"]["data"][0]


def test_the_time_of_another_event_with_its_id_is_a_conflict(three, analyst_api):
    first, second = Event.objects.filter(pk__in=three[:2]).order_by("timestamp")
    Event.objects.filter(pk=second.pk).update(event_id=first.event_id)

    answer = analyst_api.patch(f"/events/{second.pk}/", {"timestamp": NOON.isoformat()})

    assert answer.status_code == 409


def test_a_session_tells_its_events_in_order(three, viewer_api):
    commit([{"session_id": "a/b c", "timestamp": NOON + timedelta(seconds=second)} for second in (2, 0, 1)])
    digest.run()

    first = viewer_api.get("/sessions/a%2Fb%20c/?page_size=2").json()

    assert (first["event_count"], first["duration"]) == (3, 2.0)
    second = viewer_api.get(first["next"]).json()
    times = [event["timestamp"] for page in (first, second) for event in page["events"]]
    assert times == sorted(times) and len(times) == 3
    assert second["next"] is None
    assert viewer_api.get("/sessions/nobody/").status_code == 404


def test_sessions_come_last_seen_first(viewer_api):
    for day in (1, 3, 2):
        commit([{"session_id": f"day {day}", "timestamp": NOON + timedelta(days=day)}])
    digest.run()

    def found(query: str) -> list[str]:
        return [row["session_id"] for row in viewer_api.get(f"/sessions/?{query}").json()["results"]]

    assert found("") == ["day 3", "day 2", "day 1"]
    assert found("from=2026-05-06&to=2026-05-07") == ["day 2"]


def test_a_chart_is_asked_for_by_interval_and_group(viewer_api):
    application = ApplicationFactory(name="Website")
    commit([{"application": application, "name": "a"}, {"application": application, "name": "b"}])
    digest.run()
    commit([{}])

    query = "from=2026-05-04T12:00:00Z&to=2026-05-04T14:00:00Z"
    answer = viewer_api.get(f"/events/stats/?{query}&by=name&application={application.pk}").json()

    assert answer["times"] == ["2026-05-04T12:00:00Z", "2026-05-04T13:00:00Z"]
    assert [(one["group"], one["events"]) for one in answer["series"]] == [
        ("page interaction / a", [1, 0]),
        ("page interaction / b", [1, 0]),
    ]
    assert answer["lag"] > 0
    assert viewer_api.get("/events/stats/").json()["interval"] == "hour"


@pytest.mark.parametrize(
    "query",
    ["interval=second", "by=session", "from=2000-01-01T00:00Z&interval=minute", "to=0001-01-01T00:00Z", "from=x"],
)
def test_a_chart_that_cannot_be_drawn_is_refused(query, viewer_api):
    assert viewer_api.get(f"/events/stats/?{query}").status_code == 400


def test_an_export_is_the_list_as_a_file(three, viewer_api, monkeypatch):
    monkeypatch.setattr(export, "PAGE", 2)  # the last page is full, and so is the one before
    EventFactory(session_id="=HYPERLINK()", name='a,"b"\nc', timestamp=NOON - timedelta(days=1))

    answer = viewer_api.get("/events/export/?category=page interaction")

    assert answer["Content-Disposition"] == 'attachment; filename="events.csv"'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeffid,application,event_id,session_id,category,name,timestamp,received_at,data\r\n")
    assert text.count("\r\n") == 4
    assert "'=HYPERLINK()" in text and '"a,""b""\nc"' in text


def test_an_export_as_ndjson_has_an_event_a_line(three, viewer_api):
    for answer in (
        viewer_api.get("/events/export/?format=ndjson"),
        viewer_api.get("/events/export/", headers={"Accept": "application/x-ndjson"}),
    ):
        rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]

        assert [row["id"] for row in rows] == three[::-1]
        assert rows[0]["data"] == {"host": "www.example.com", "path": "/"}


def test_an_export_is_refused_in_words(viewer_api, stranger_api, anon_api):
    assert "csv or ndjson" in viewer_api.get("/events/export/?format=xlsx").json()["errors"]["format"][0]
    assert viewer_api.get("/events/export/?from=x").status_code == 400
    assert stranger_api.get("/events/export/").status_code == 403
    assert anon_api.get("/events/export/").status_code == 401


def test_an_export_that_is_dropped_unread_gives_its_place_back(three):
    for _ in range(export.AT_ONCE + 1):
        export.Export(Event.objects.all(), "ndjson")


def test_exports_leave_threads_to_others(three, viewer_api):
    under_way = [viewer_api.get("/events/export/") for _ in range(export.AT_ONCE)]

    refused = viewer_api.get("/events/export/")
    assert (refused.status_code, refused["Retry-After"]) == (503, "10")

    hang_up(under_way[0])
    b"".join(under_way[1].streaming_content)
    again = [viewer_api.get("/events/export/") for _ in range(export.AT_ONCE)]
    assert {answer.status_code for answer in again} == {200}
    for answer in again:
        hang_up(answer)


def hang_up(answer) -> None:
    """As a server does whose reader went away; without the signal that would close the test's connection."""
    for close in answer._resource_closers:
        close()


def test_an_export_reads_page_by_page(viewer_api, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(export, "PAGE", 10)
    EventFactory.create_batch(25, application=ApplicationFactory(), timestamp=NOON)

    with django_assert_num_queries(1):  # before the answer begins, so that a failure can still be a 503
        lines = export.Export(Event.objects.all(), "ndjson")
    with django_assert_num_queries(0):
        next(lines)
    with django_assert_num_queries(2):
        assert len(list(lines)) == 2


def test_rejected_events_are_not_among_them(viewer_api):
    RejectedEventFactory()

    assert listed(viewer_api, "/events/") == []


HOSTILE_IDS = [
    ".",
    "..",
    "a/",
    "/a",
    "//",
    "../x",
    "a?b#c",
    "%2E",
    "%",
    "a\nb",
    "a b",
    "_2E",
    "\\",
    "é☃",
    "change/",
    "x" * 100,
]


@pytest.mark.parametrize("session_id", HOSTILE_IDS)
def test_every_session_id_has_an_address_that_clients_do_not_change(viewer_api, as_viewer, session_id):
    commit([{"session_id": session_id, "timestamp": NOON}])
    digest.run()
    once = quote(session_id, safe="")
    addresses = [f"/sessions/{quote(once, safe='')}/".replace(".", "%252E")]
    if set(session_id) != {"."}:
        addresses.append(f"/sessions/{once}/")

    for address in addresses:
        sent = requests.Request("GET", f"http://testserver{address}").prepare().path_url
        assert viewer_api.get(sent).json()["session_id"] == session_id

    page = html.unescape(re.search(r'href="(/admin/events/session/[^"?]+/change/)', changelist(as_viewer))[1])
    sent = requests.Request("GET", f"http://testserver{page}").prepare().path_url
    assert as_viewer.get(sent).context["session_id"] == session_id


def changelist(client) -> str:
    return client.get("/admin/events/session/").content.decode()
