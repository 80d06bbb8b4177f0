""" "Send banner" with 1,000,000 chats: time until the user gets the response, in ms.

It sends `POST /broadcasts/banner/` with a token to the real web process, which calls the fake banner API. A worker runs
and starts every broadcast immediately, as in production. The API's own time is subtracted from each request: that of a
direct GET of the same list just before. The limit is what users perceive as immediate. After each request the broadcast
is cancelled as soon as it is being sent. The fake API has a banner for each request.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from contextlib import suppress
from statistics import quantiles

from benchmarks.audience import CHATS, fill
from benchmarks.instance import sql, token, wait_until, web, worker
from benchmarks.report import Figure, spread
from benchmarks.size import sized

PRESSES = sized(20, 3)
LIMIT = 300.0  # ms


def measure() -> list[Figure]:
    fill()
    headers = {"Authorization": f"Token {token()}"}
    with web(), worker():
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=30)
        api, presses = [], []
        for number in range(PRESSES + 2):
            api_took, _ = ask(connection, "GET", "/fake-banner-api/photos/?offset=0&limit=100", {})
            took, broadcast = ask(connection, "POST", "/broadcasts/banner/", headers)
            cancel(broadcast["id"])
            if number >= 2:  # the first two are warm-ups
                api.append(api_took)
                presses.append(took)
        connection.close()
    return figures(api, presses)


def ask(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> tuple[float, dict]:
    """Return the milliseconds until the response is complete, and its JSON.

    Raises AssertionError for an error status.
    """
    started = time.perf_counter()
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - started) * 1000
    if response.status not in (200, 202):
        raise AssertionError(f"{method} {path} answered {response.status}: {body[:300]!r}")
    return took, json.loads(body)


def cancel(pk: int) -> None:
    """Cancel a broadcast whose sending has started, and wait until the workers are idle."""
    from chats import services
    from chats.models import Broadcast, BroadcastNotAllowed

    wait_until(lambda: Broadcast.objects.get(pk=pk).status != "queued", "the broadcast is prepared")
    with suppress(BroadcastNotAllowed):  # it is already sent
        services.cancel(broadcast=Broadcast.objects.get(pk=pk), actor=None)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker' AND state <> 'idle'"
    wait_until(lambda: sql(busy) == 0, "the workers rest")


def figures(api: list[float], presses: list[float]) -> list[Figure]:
    beyond = [press - own for press, own in zip(presses, api, strict=True)]
    print(f"  with {CHATS:,} chats: the press {spread(presses, ' ms', 0)}, the API itself {spread(api, ' ms', 0)}")
    twentieths = quantiles(beyond, n=20, method="inclusive")
    p50, p95 = twentieths[9], twentieths[18]
    measured = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms (highest {max(beyond):.0f})"
    return [Figure("pressing Send banner, beyond the API's own time", f"p95 ≤ {LIMIT:g} ms", measured, p95 <= LIMIT)]
