"""Each possible response of the server, and what happens to the events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic, sleep, time

import pytest
from werkzeug import Response

from opsroom_events.wire import Verdict, Wire, encode

from .conftest import accepted, status


def wait_for(condition: Callable[[], bool]) -> None:
    until = monotonic() + 30
    while not condition():
        assert monotonic() < until
        sleep(0.01)


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_gets_the_same_ids_again(client, ingest, pauses, code):
    ingest.answers = [status(code), status(code), accepted]

    event_id = client.track("s", "c", "n")

    assert client.flush(10)
    assert ingest.ids == [[event_id]] * 3
    assert client.stats.accepted == 1
    assert client.stats.retries == 2


def test_pauses_grow_and_are_random_from_nothing(client, ingest, pauses):
    ingest.answers = [status(503)] * 9 + [accepted]

    client.track("s", "c", "n")

    assert client.flush(10)
    assert pauses == [(0.0, longest) for longest in (0.5, 1, 2, 4, 8, 16, 32, 60, 60)]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("a date", 50, 100), ("99999", 300, 300), ("soon", 0, 0), ("-3", 0, 0)],
)
def test_a_retry_after_is_understood(ingest, header, least, most):
    in_100_seconds = formatdate(time() + 100, usegmt=True)  # no parameter: its name would differ in parallel runs
    ingest.answers = [status(503, Retry_After=header.replace("a date", in_100_seconds))]
    wire = Wire(ingest.url, "k")

    answer = wire.send([encode("s", "c", "n", None, None)])

    wire.close()
    assert answer.verdict is Verdict.LATER
    assert least <= answer.retry_after <= most


def test_a_flush_ends_the_pause_that_the_server_asked_for_with_one_attempt(client, ingest, pauses):
    ingest.answers = [status(503, Retry_After="300"), status(503, Retry_After="300"), accepted]
    client.track("s", "c", "n")
    wait_for(lambda: client.stats.retries == 1)

    assert client.flush(0.5) is False
    assert len(ingest.batches) == 2

    assert client.flush(30)
    assert len(ingest.batches) == 3


def test_a_flush_that_begins_while_an_attempt_is_under_way_has_one_of_its_own(client, ingest, pauses):
    asked, answer = threading.Event(), threading.Event()

    def busy(events):
        asked.set()
        answer.wait(30)
        return status(503, Retry_After="300")(events)

    ingest.answers = [busy, accepted]
    client.track("s", "c", "n")
    asked.wait(30)
    threading.Timer(0.2, answer.set).start()

    assert client.flush(30)


def test_a_shorter_retry_after_is_kept_within_a_flush(client, ingest, pauses):
    ingest.answers = [status(503, Retry_After="1"), status(503, Retry_After="1"), accepted]
    client.track("s", "c", "n")

    assert client.flush(30)
    assert len(ingest.batches) == 3


@pytest.mark.parametrize("code", [301, 401, 403, 404])
def test_a_wrong_key_or_address_keeps_the_events_and_is_tried_slowly(client, ingest, pauses, code, warnings):
    ingest.answers = [status(code, Location="/elsewhere/"), status(code), accepted]

    event_id = client.track("s", "c", "n")

    assert client.flush(10)
    assert pauses == [(30.0, 60.0)] * 2
    assert ingest.ids == [[event_id]] * 3
    [warning] = warnings()  # once, not each time
    assert str(code) in warning


@pytest.mark.parametrize("code", [400, 413])
def test_a_refused_batch_is_halved_until_only_what_is_refused_is_left(make_client, ingest, code):
    refused = []
    client = make_client(max_age=60, on_rejected=lambda event, errors: refused.append((event["data"]["n"], errors)))
    ingest.answers = [
        lambda events: status(code)(events) if 7 in [e["data"]["n"] for e in events] else accepted(events)
    ]
    for number in range(20):
        client.track("s", "c", "n", {"n": number})

    assert client.flush(10)
    assert client.stats.accepted == 19
    assert client.stats.rejected == 1
    assert [(number, errors[0]["code"]) for number, errors in refused] == [(7, "refused")]


def test_batches_grow_again_after_a_refusal(make_client, ingest):
    client = make_client(max_age=60)
    ingest.answers = [status(413), status(413), accepted]
    for _ in range(400):
        client.track("s", "c", "n")

    assert client.flush(10)
    assert [len(batch) for batch in ingest.batches] == [400, 200, 100, 200, 100]


def test_what_was_rejected_in_an_accepted_batch_is_handed_on_with_the_reasons(make_client, ingest):
    told = []
    client = make_client(max_age=60, on_rejected=lambda *both: told.append(both))
    reasons = [{"code": "schema", "pointer": "/data/path", "message": "missing"}]

    def answer(events):
        results = [{"status": "accepted"}, {"status": "rejected", "errors": reasons}, {"status": "duplicate"}]
        return Response(json.dumps({"results": results}), 202)

    ingest.answers = [answer]
    for number in range(3):
        client.track("s", "c", "n", {"n": number})

    assert client.flush(10)
    assert [(event["data"], errors) for event, errors in told] == [({"n": 1}, reasons)]
    assert (client.stats.accepted, client.stats.rejected, client.stats.duplicates) == (1, 1, 1)


def test_a_callback_that_raises_harms_nobody(make_client, ingest, caplog):
    client = make_client(max_age=0.01, on_rejected=lambda *_: 1 / 0)
    ingest.answers = [lambda _: Response(json.dumps({"results": [{"status": "rejected"}]}), 202), accepted]
    client.track("s", "c", "bad")
    assert client.flush(10)

    client.track("s", "c", "good")

    assert client.flush(10)
    assert client.stats.accepted == 1
    assert "on_rejected failed" in caplog.text


@pytest.mark.parametrize("body", ["<html>Welcome to our Wi-Fi</html>", "[]", "{}", '{"results": []}', '{"results": 5}'])
def test_a_202_of_somebody_else_is_not_believed(client, ingest, pauses, body):
    ingest.answers = [lambda _: Response(body, 202), accepted]

    client.track("s", "c", "n")

    assert client.flush(10)
    assert len(ingest.batches) == 2
    assert client.stats.accepted == 1
