"""Whatever the application does, `track` neither raises nor blocks, and counts the events it could not queue."""

from __future__ import annotations

import gc
import logging

import pytest

from opsroom_events import Client, Stats

from .conftest import status


class Evil:
    def __str__(self) -> str:
        raise RuntimeError("evil")


CIRCLE: list = []
CIRCLE.append(CIRCLE)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "data",
    [CIRCLE, DEEP, "x" * 600_000],
    ids=["circle", "deep", "large"],
)
def test_data_that_cannot_be_sent_is_counted_not_raised(client, ingest, data, warnings):
    assert client.track("s", "c", "n", data) is None
    assert client.track("s", "c", "n", {"fine": True}) is not None

    assert client.flush()
    assert client.stats == Stats(tracked=2, accepted=1, invalid=1)
    assert len(warnings()) == 1


def test_a_session_that_raises_is_named_by_its_class(client, ingest):
    assert client.track(Evil(), "c", "n") is not None

    assert client.flush()
    assert ingest.batches[0][0]["session_id"] == "<Evil>"


def test_a_full_queue_drops_the_newest_and_says_so_once(make_client, ingest, warnings):
    ingest.answers = [status(401)]
    client = make_client(max_queue=10, max_age=0.01)

    taken = [client.track("s", "c", "n", {"n": number}) for number in range(100)]

    assert [event_id is not None for event_id in taken] == [True] * 10 + [False] * 90
    assert client.stats.dropped == 90
    assert client.stats.queued == 10
    assert len([words for words in warnings() if "full" in words]) == 1


def test_a_queue_is_bounded_in_bytes_as_well(make_client, ingest, monkeypatch):
    monkeypatch.setattr("opsroom_events.client.MAX_QUEUED_BYTES", 10_000)
    ingest.answers = [status(401)]
    client = make_client(max_age=60)

    for _ in range(10):
        client.track("s", "c", "n", "x" * 2_000)

    assert client.stats.dropped > 0
    assert client.stats.queued + client.stats.dropped == 10


def test_a_log_handler_may_track_what_the_client_logs(client):
    class Tracks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            client.track("s", "logs", "warning", {"message": record.getMessage()})

    handler = Tracks()
    logging.getLogger("opsroom_events").addHandler(handler)
    try:
        client.track("s", "c", "n", CIRCLE)
    finally:
        logging.getLogger("opsroom_events").removeHandler(handler)

    assert client.flush()
    assert client.stats.accepted == 1


@pytest.mark.parametrize("url", ["", "nonsense", "http://[", "http://127.0.0.1:1"])
def test_a_wrong_address_or_key_raises_nothing(make_client, url):
    client = make_client(url=url, write_key="ключ\n")

    assert client.track("s", "c", "n") is not None
    assert client.flush(0.2) is False
    assert client.stats.queued == 1


def test_a_closed_client_takes_nothing_and_closing_twice_is_harmless(client, ingest):
    client.track("s", "c", "n")
    assert client.close()
    assert client.close()

    assert client.track("s", "c", "n") is None

    assert client.stats == Stats(tracked=2, accepted=1, dropped=1)


def test_a_client_that_was_never_used_has_no_thread_and_goes_away():
    from opsroom_events.client import _clients

    gc.collect()  # left by earlier tests
    before = len(_clients)
    Client("http://127.0.0.1:1", "k")
    gc.collect()

    assert len(_clients) == before
