"""Pages end by rows and by bytes: memory stays flat however large events are, and however many there are."""

import tracemalloc

import pytest
from django.db import connection

from events import services
from events.factories import ApplicationFactory, EventFactory, EventTypeFactory, RejectedEventFactory
from events.models import Event, RejectedEvent
from events.query import export, pages
from events.rejected import replay
from events.rollups import digest
from events.tests.counting import NOON, count_all

pytestmark = pytest.mark.django_db
KIB = 1024


def store(number: int, size: int) -> None:
    """Store events of about `size` bytes each, a second apart."""
    application = ApplicationFactory()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)
            SELECT place, %s, gen_random_uuid(), 'mine', 'shop', 'order',
                   jsonb_build_object('text', repeat('x', %s)), %s::timestamptz + place * interval '1 second'
            FROM generate_series(1, %s) AS place
            """,
            [application.pk, size, NOON, number],
        )
    count_all()


@pytest.fixture
def small_pages(monkeypatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 100 * KIB)


@pytest.mark.parametrize(
    ("sizes", "taken", "count"),
    [([], 0, 0), ([10, 20], 0, 2), ([60 * KIB, 60 * KIB], 0, 1), ([300 * KIB], 0, 1), ([300 * KIB, 1], 0, 1),
     ([300 * KIB], 1, 0), ([40 * KIB, 40 * KIB], 50 * KIB, 1)],
)  # fmt: skip
def test_a_page_takes_what_goes_in_and_one_row_at_least(sizes, taken, count, small_pages):
    assert pages.rows_within_bytes(sizes, taken) == count


def test_a_list_of_large_events_has_shorter_pages_and_holds_each_once(small_pages, viewer_api):
    store(7, 45 * KIB)

    found, lengths, address = [], [], "/events/?page_size=5&session=mine"
    while address:
        page = viewer_api.get(address).json()
        found += [row["id"] for row in page["results"]]
        lengths.append(len(page["results"]))
        address = page["next"]

    assert (found, lengths) == ([7, 6, 5, 4, 3, 2, 1], [2, 2, 2, 1])


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_takes_no_more_memory_for_more_events(form, monkeypatch):
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 512 * KIB)
    store(20, 100 * KIB)
    few = peak(form)

    store_more(200, 100 * KIB)
    many = peak(form)

    assert many < few * 1.2 and many < 3 * KIB * KIB  # of 20 MiB


def store_more(number: int, size: int) -> None:
    Event.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM events_minute")
    store(number, size)


def peak(form: str) -> int:
    """Return the most bytes that Python holds while somebody reads an export."""
    lines = export.Export(Event.objects.all(), form)
    tracemalloc.start()
    try:
        assert sum(len(line) for line in lines) > 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        lines.close()


def test_an_export_holds_every_large_event_once(small_pages):
    store(9, 45 * KIB)

    lines = list(export.Export(Event.objects.all(), "ndjson"))

    assert [line.count(b"\n") for line in lines] == [2, 2, 2, 2, 1]


def test_a_dry_run_of_large_events_looks_at_all_of_them(small_pages):
    store(5, 45 * KIB)

    assert services.dry_run(category="shop", name="order", schema={}).checked == 5


def test_a_preview_and_a_replay_of_large_bytes_ask_all_of_them_some_at_a_time(small_pages):
    EventTypeFactory(category="shop", name="order", schema={"required": ["host"]})
    application = ApplicationFactory()
    raw = b'{"session_id": "s", "category": "shop", "name": "order", "timestamp": "2026-05-04T12:00", "data": {"a": "'
    for _ in range(5):
        RejectedEventFactory(application=application, category="shop", name="order", raw=raw + b"x" * 45 * KIB + b'"}}')
    selection = services.Selection(application=application.pk)

    assert services.preview_replay(selection=selection).still_rejected == 5
    started = services.start_replay(selection=selection)
    assert replay.replay_some(started.pk)
    started.refresh_from_db()
    assert started.still_rejected == 2
    replay.run(started.pk)
    started.refresh_from_db()
    assert (started.still_rejected, RejectedEvent.objects.count()) == (5, 5)


def test_one_event_that_is_larger_than_a_page_is_a_page(monkeypatch, viewer_api):
    monkeypatch.setattr(pages, "MAX_PAGE_BYTES", 10)
    EventFactory.create_batch(2, application=ApplicationFactory())
    digest.run()

    page = viewer_api.get("/events/").json()

    assert len(page["results"]) == 1 and page["next"]
