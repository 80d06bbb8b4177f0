"""Which events are sent together, when, and with which ids and times."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

from opsroom_events import wire

from .conftest import status


def test_an_event_arrives_with_the_id_that_track_returned(client, ingest):
    before = datetime.now(timezone.utc)

    event_id = client.track("s-1", "page interaction", "pageview", {"path": "/", "name": "Äöü 🙂"})

    assert client.flush()
    [[event]] = ingest.batches
    assert event | {"timestamp": None} == {
        "event_id": event_id,
        "session_id": "s-1",
        "category": "page interaction",
        "name": "pageview",
        "data": {"path": "/", "name": "Äöü 🙂"},
        "timestamp": None,
    }
    assert uuid.UUID(event_id).version == 4
    assert before <= datetime.fromisoformat(event["timestamp"]) <= datetime.now(timezone.utc)
    assert ingest.keys == {"k"}


def test_a_time_of_ones_own_is_sent_in_utc(client, ingest):
    client.track("s", "c", "n", timestamp=datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))))

    assert client.flush()
    assert ingest.batches[0][0]["timestamp"] == "2026-01-02T01:00:00+00:00"


def test_a_time_without_a_zone_is_meant_in_the_machines(client, ingest, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    client.track("s", "c", "n", timestamp=datetime(2026, 1, 2, 3))
    monkeypatch.undo()
    time.tzset()

    assert client.flush()
    assert ingest.batches[0][0]["timestamp"] == "2026-01-01T18:00:00+00:00"


def test_data_is_sent_as_it_was_when_it_was_tracked(make_client, ingest):
    client, data = make_client(max_age=60), {"n": 1}
    client.track("s", "c", "n", data)

    data["n"] = 2

    assert client.flush()
    assert ingest.batches[0][0]["data"] == {"n": 1}


def test_an_event_waits_for_company_but_not_for_long(make_client, ingest):
    client = make_client(max_age=0.2)
    for number in range(3):
        client.track("s", "c", "n", {"n": number})

    wait_until(lambda: client.stats.accepted == 3)

    assert [len(batch) for batch in ingest.batches] == [3]


def test_a_full_batch_goes_at_once(make_client, ingest):
    client = make_client(max_age=60)
    for number in range(500):
        client.track("s", "c", "n", {"n": number})

    wait_until(lambda: client.stats.accepted == 500)

    assert [len(batch) for batch in ingest.batches] == [500]


def test_no_request_has_more_events_or_bytes_than_the_server_takes(make_client, ingest, monkeypatch):
    bodies = []
    compress = wire.gzip.compress
    monkeypatch.setattr(wire.gzip, "compress", lambda body, level: bodies.append(body) or compress(body, level))
    client = make_client(max_age=0.01)
    for number in range(1_200):
        client.track("s", "c", "n", {"n": number, "text": "x" * (2_000 if number < 600 else 10)})

    assert client.flush(30)

    assert max(len(batch) for batch in ingest.batches) <= 500
    assert max(len(body) for body in bodies) <= 512 * 1024
    assert [event["data"]["n"] for batch in ingest.batches for event in batch] == list(range(1_200))


def test_many_threads_may_track_at_once(client, ingest):
    def track() -> None:
        for number in range(200):
            client.track(threading.current_thread().name, "c", "n", {"n": number})

    threads = [threading.Thread(target=track) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert client.flush(30)
    arrived = [event["event_id"] for batch in ingest.batches for event in batch]
    assert len(arrived) == len(set(arrived)) == 1_600
    assert client.stats.accepted == client.stats.tracked == 1_600


def test_a_flush_tells_whether_the_server_has_answered_for_everything(client, ingest, pauses):
    ingest.answers = [status(503)]
    client.track("s", "c", "n")

    assert client.flush(0.05) is False
    assert client.stats.queued == 1


def wait_until(condition) -> None:
    done = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("not within 10 s")
