"""Pressing "Send banner" with 1,000,000 chats: how long a marketer waits for the answer, in ms.

`POST /broadcasts/banner/` with a token, to the real web process, which asks the stand-in of the banner API; a worker
runs and takes up every broadcast at once, as in real life. From each press, the API's own time is taken: that of a
direct GET of the same list, just before. The limit is what a person feels as at once. After each press, the
broadcast is cancelled, as soon as it is being sent. The stand-in has a banner for each press.
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
            api_took, _ = ask(connection, "GET", "/standin/photos/?offset=0&limit=100", {})
            took, broadcast = ask(connection, "POST", "/broadcasts/banner/", headers)
            cancel(broadcast["id"])
            if number >= 2:  # the first ones warm up
                api.append(api_took)
                presses.append(took)
        connection.close()
    return figures(api, presses)


def ask(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> tuple[float, dict]:
    """Return the milliseconds until the whole answer is there, and the answer. Raises where it is no success."""
    started = time.perf_counter()
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - started) * 1000
    if response.status not in (200, 202):
        raise AssertionError(f"{method} {path} answered {response.status}: {body[:300]!r}")
    return took, json.loads(body)


def cancel(pk: int) -> None:
    """Cancel a broadcast that has begun, and return when the workers have let go of it."""
    from chats.models import Broadcast, BroadcastNotAllowed

    wait_until(lambda: Broadcast.objects.get(pk=pk).status != "queued", "the broadcast is prepared")
    with suppress(BroadcastNotAllowed):  # it is sent already
        Broadcast.objects.get(pk=pk).cancel(None)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'worker' AND state <> 'idle'"
    wait_until(lambda: sql(busy) == 0, "the workers rest")


def figures(api: list[float], presses: list[float]) -> list[Figure]:
    beyond = [press - own for press, own in zip(presses, api, strict=True)]
    print(f"  with {CHATS:,} chats: the press {spread(presses, ' ms', 0)}, the API itself {spread(api, ' ms', 0)}")
    twentieths = quantiles(beyond, n=20, method="inclusive")
    p50, p95 = twentieths[9], twentieths[18]
    measured = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms (highest {max(beyond):.0f})"
    return [Figure("pressing Send banner, beyond the API's own time", f"p95 ≤ {LIMIT:g} ms", measured, p95 <= LIMIT)]
