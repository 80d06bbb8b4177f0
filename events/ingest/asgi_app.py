"""The ingest, `POST /events/`: a small ASGI application beside Django. A response with status 202 means committed.

1. The write key identifies the application (events/ingest/registry.py). The body is read within limits
   (events/ingest/request_body.py).
2. Each item of the body is validated separately (events/validation/parser.py, event.py, schemas.py).
3. The items are committed together with those of other waiting requests (events/ingest/group_commit.py, writer.py,
   bulk_insert.py). Invalid items are stored as rejected events. The response lists the result of each item.

A body that is not JSON gets 400, and its beginning is kept as a rejected event. The id of that event is computed from
the bytes, so a retry is not kept twice.

Requests in progress are limited in number, bytes and time, from the write key to the response. Beyond these limits, and
while Postgres is unreachable or frozen, the response is 503 with Retry-After. The client then sends the same events
again; events with ids are never stored twice. A single application may use only a part of the limits; beyond that part
it gets 429. When the server stops, it first completes the requests in progress, so acknowledged events are never lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import Counter as Counts
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import orjson
import structlog
from prometheus_client import Counter, Gauge

from core.http.problem import CONTENT_TYPE, problem
from events.ingest.bulk_insert import Store
from events.ingest.check_process import CheckProcess, TooHeavy, read_in_thread
from events.ingest.db_thread import DatabaseThread, Unavailable
from events.ingest.group_commit import ApplicationGone, GroupCommit
from events.ingest.quota import Quota
from events.ingest.rate_limit import ApplicationRateLimit
from events.ingest.registry import RegistryCache
from events.ingest.request_body import Disconnected, Receive, RequestRefused, read_body
from events.ingest.request_limits import Limit, LimitExceeded, OwnerLimitExceeded, RequestLimits
from events.ingest.writer import Writer
from events.validation.budget import Budget, BudgetSpent
from events.validation.event import Item, ItemOutcome, read
from events.validation.parser import MAX_ITEMS, TooManyItems
from events.validation.rules import ApplicationSettings, Rules, TimestampBounds

log = structlog.get_logger(__name__)

WRITERS = 2  # concurrent commits of small requests, and as many of large ones
MIN_LARGE_BYTES = 64 * 1024  # bytes; larger bodies have their own writers: Postgres takes 20 ms for half a megabyte
MAX_REQUESTS = 1_000  # in progress
MAX_BYTES = 64 * 1024 * 1024  # held in memory for requests in progress
SHARE = 4  # one application may use at most 1/SHARE of both limits, so that others have room
ITEM_BYTES = 512  # approximate memory of an item beyond its bytes
MAX_INLINE_BYTES = 4 * 1024  # bytes; a larger body is validated in a thread, so that it does not block the event loop
CHECK_THREADS = 2  # number of these threads
MAX_HEAVY_PER_APPLICATION = 3  # bodies of one application that may wait for the child process at the same time
MAX_INLINE_ERRORS = 200  # validation errors up to which the event loop itself serialises the response
RESPONSE_TIMEOUT = 8.0  # seconds from the end of the body to the response

JSON = (b"content-type", b"application/json")
PREFLIGHT = [(b"access-control-allow-methods", b"POST"), (b"access-control-max-age", b"86400")]
# Allowed if a preflight names no headers.
DEFAULT_ALLOWED_HEADERS = b"authorization, content-encoding, content-type, x-write-key"
_HEADER_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
MIN_CLOCK_SKEW = 60.0  # seconds of clock difference that are always accepted, because requests can be slow to arrive

DEFAULT_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]

refused_total = Counter("opsroom_events_refused_total", "Requests that were not taken, by their answer", ["status"])
in_progress = Gauge("opsroom_events_under_way_requests", "Requests from their first byte to their answer")
bytes_in_progress = Gauge("opsroom_events_held_bytes", "Bytes held for requests in progress")


def busy(why: str) -> RequestRefused:
    """Return a 503 with a random Retry-After, so that clients do not all retry at the same moment."""
    return RequestRefused(503, f"{why} Please send the same again in a moment.", retry_after=random.randint(1, 4))


def too_many_at_once() -> RequestRefused:
    """Return a 429 for an application that exceeds its share of the limits."""
    words = "This application has too many requests in progress. Send fewer at the same time."
    return RequestRefused(429, words, retry_after=random.randint(1, 4))


class Ingest:
    """The ASGI application of the ingest, for `POST` and `OPTIONS` at any path."""

    def __init__(self) -> None:
        self.limits = RequestLimits(
            max_requests=MAX_REQUESTS,
            max_weight=MAX_BYTES,
            max_requests_per_owner=MAX_REQUESTS // SHARE,
            max_weight_per_owner=MAX_BYTES // SHARE,
        )
        self._bounds = TimestampBounds.from_settings()  # read once: each look-up of a setting costs a microsecond
        store = Store()
        self._writers = [Writer(f"ingest-{number}", store) for number in range(2 * WRITERS)]
        self._registry_thread = DatabaseThread("ingest-keys")
        self._registry = RegistryCache(self._registry_thread)
        self._commit = GroupCommit(self._writers[:WRITERS])
        self._commit_large = GroupCommit(self._writers[WRITERS:])
        self._rate_limit = ApplicationRateLimit()
        self._quota = Quota(self._registry)
        self._check_threads = ThreadPoolExecutor(max_workers=CHECK_THREADS, thread_name_prefix="ingest-check")
        self._check_process_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest-ask")
        self._check_process = CheckProcess()
        self._heavy: Counts[int] = Counts()  # bodies per application that wait for the child process
        in_progress.set_function(lambda: len(self.limits.running))
        bytes_in_progress.set_function(lambda: self.limits.weight)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        headers = dict(scope["headers"])
        if scope["method"] == "OPTIONS":
            await _respond(send, 204, b"", [(b"allow", b"POST, OPTIONS"), *_preflight(headers), *_allow(headers)])
            return
        try:
            with self.limits.limit(RESPONSE_TIMEOUT) as limit:
                body = await self._handle(scope, headers, receive, limit)
            await _respond(send, 202, body, [JSON, *_allow(headers)])
        except RequestRefused as refused:
            await _refuse(send, headers, refused)
        except OwnerLimitExceeded:
            await _refuse(send, headers, too_many_at_once())
        except LimitExceeded:
            await _refuse(send, headers, busy("Too many requests are in progress."))
        except (Unavailable, TimeoutError):
            await _refuse(send, headers, busy("The database does not answer."))
        except Disconnected:
            return
        except Exception:
            log.exception("events_ingest_failed")
            await _refuse(send, headers, busy("Something went wrong here."))

    async def _handle(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], receive: Receive, limit: Limit
    ) -> bytes:
        """Read, validate and store the events of a request; return the response's body. Raises RequestRefused."""
        application = self._admit(await self._registry.sender(_key(scope, headers)), headers)
        limit.assign_owner(application.id)
        self._compare_clocks(scope)
        content = await read_body(headers, receive, limit)
        limit.add(max(0, len(content) - limit.weight))  # a decompressed body weighs more than was received
        limit.renew(RESPONSE_TIMEOUT)
        items = await self._check(content, application)
        self._rate_limit.take(application.id, application.rate, len(items))
        limit.add(ITEM_BYTES * len(items))
        self._quota.apply(application.id, items)
        outcomes: list[ItemOutcome] = []
        if items:
            commit = self._commit if len(content) <= MIN_LARGE_BYTES else self._commit_large
            try:
                outcomes = await commit.commit(items)
            except ApplicationGone:
                raise RequestRefused(401, "The application of this write key was deleted.") from None
        if len(items) == 1 and items[0].reasons and items[0].is_invalid_json:
            words = f"This is not JSON: {items[0].reasons[0]['message']}"
            raise RequestRefused(400, words, results=[items[0].result(outcomes[0])])
        if sum(len(item.reasons) for item in items) > MAX_INLINE_ERRORS:
            return await asyncio.to_thread(_results, items, outcomes)
        return _results(items, outcomes)

    def _admit(self, sender: ApplicationSettings | None, headers: dict[bytes, bytes]) -> ApplicationSettings:
        """Return the sender if its key, its origin and its rate limit permit the request. Raises RequestRefused."""
        if sender is None:
            raise RequestRefused(401, "Missing, unknown, expired or paused write key.")
        origins = sender.allowed_origins
        if origins and b"origin" in headers and headers[b"origin"].decode("latin-1") not in origins:
            raise RequestRefused(403, "This application does not allow events from pages of this origin.")
        if wait := self._rate_limit.wait(sender.id, sender.rate):
            raise RequestRefused(429, f"This application may send {sender.rate} events a second.", retry_after=wait)
        return sender

    def _compare_clocks(self, scope: dict[str, Any]) -> None:
        """Refuse a request whose sender's clock is too wrong, before anything is stored. Raises RequestRefused.

        The sender gives its own time as `sent_at`, in milliseconds. The 409 response contains the server's time, so the
        sender can correct the timestamps and send the events again. Without this check they would be stored as rejected
        events, and the sender could not correct them.
        """
        if not (given := _query_parameter(scope, "sent_at")):
            return
        if not re.fullmatch(r"\d{1,15}", given, re.ASCII):
            raise RequestRefused(400, "sent_at must be the sender's time in milliseconds since 1970-01-01T00:00:00Z.")
        now = int(time.time() * 1000)
        wrong = (int(given) - now) / 1000
        if abs(wrong) > max(self._bounds.future.total_seconds(), MIN_CLOCK_SKEW):
            words = "Correct the timestamps by the difference between now and sent_at, and send the events again."
            raise RequestRefused(409, f"The sender's clock is wrong by {abs(wrong):.0f} seconds. {words}", now=now)

    async def _check(self, content: bytes, application: ApplicationSettings) -> list[Item]:
        if not content.strip():
            raise RequestRefused(400, "The body is empty. Send an event, or an array of events, as JSON.")
        current = self._registry.cached() or await self._registry.current()
        budget = Budget.of_event_loop()
        rules = Rules.for_application(application, current.types, bounds=self._bounds, budget=budget)
        loop = asyncio.get_running_loop()
        try:
            if len(content) <= MAX_INLINE_BYTES:
                with contextlib.suppress(BudgetSpent):  # then a thread validates it
                    return read(content, rules)
            with contextlib.suppress(TooHeavy):  # then the child process validates it
                return await loop.run_in_executor(self._check_threads, read_in_thread, content, rules)
            with self._heavy_slot(application.id):
                read_in_process = self._check_process.read
                return await loop.run_in_executor(self._check_process_thread, read_in_process, content, rules, current)
        except TooManyItems:
            raise RequestRefused(413, f"A request may have at most {MAX_ITEMS} events. Send fewer at once.") from None
        except BudgetSpent:
            raise RequestRefused(413, "Validating these events takes too much work. Send fewer at once.") from None

    @contextlib.contextmanager
    def _heavy_slot(self, application: int) -> Iterator[None]:
        """Limit how many bodies of one application wait for the child process. Raises OwnerLimitExceeded."""
        if self._heavy[application] >= MAX_HEAVY_PER_APPLICATION:
            raise OwnerLimitExceeded
        self._heavy[application] += 1
        try:
            yield
        finally:
            self._heavy[application] -= 1
            if not self._heavy[application]:
                del self._heavy[application]

    def close(self) -> None:
        """Close all connections, threads and the child process, and wait for that. No request may be in progress."""
        for writer in self._writers:
            writer.close()
        self._registry_thread.close()
        self._check_threads.shutdown()
        self._check_process_thread.shutdown()
        self._check_process.close()


def _results(items: list[Item], outcomes: list[ItemOutcome]) -> bytes:
    """Return the response's body: the result of each item, and the totals."""
    counts = {
        "accepted": outcomes.count("accepted"),
        "duplicates": outcomes.count("duplicate"),
        "rejected": outcomes.count("rejected"),
    }
    return orjson.dumps(
        {**counts, "results": [item.result(outcome) for item, outcome in zip(items, outcomes, strict=True)]}
    )


def _key(scope: dict[str, Any], headers: dict[bytes, bytes]) -> str:
    """Return the write key from a header, or from the URL because beacons cannot set headers."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip().decode("latin-1")
    if b"x-write-key" in headers:
        return headers[b"x-write-key"].decode("latin-1")
    return _query_parameter(scope, "write_key")


def _query_parameter(scope: dict[str, Any], name: str) -> str:
    return parse_qs(scope["query_string"].decode("latin-1")).get(name, [""])[0]


def _preflight(headers: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Allow every header that the page asks for: tracing libraries add headers to each fetch. They are ignored here."""
    asked = headers.get(b"access-control-request-headers", b"").strip()
    allowed = asked if _HEADER_NAMES.fullmatch(asked) else DEFAULT_ALLOWED_HEADERS
    return [*PREFLIGHT, (b"access-control-allow-headers", allowed), (b"vary", b"access-control-request-headers")]


def _allow(headers: dict[bytes, bytes], status: int = 202) -> list[tuple[bytes, bytes]]:
    """Let the requesting page read the response, which contains only what the page has sent. A 403 cannot be read.

    Credentials are allowed, because beacons always send them; the ingest does not read them. With credentials, browsers
    do not accept `*`, so the response repeats the page's origin.
    """
    if status == 403 or not (origin := headers.get(b"origin")):
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"retry-after"),
        (b"vary", b"origin"),
    ]


async def _refuse(send: Any, headers: dict[bytes, bytes], refused: RequestRefused) -> None:
    """Send problem details, with the headers for browsers."""
    status = refused.status
    refused_total.labels(status).inc()
    body = problem(status, refused.detail, **refused.more)
    more = [(b"content-type", CONTENT_TYPE.encode()), *_allow(headers, status)]
    if refused.retry_after is not None:
        more.append((b"retry-after", str(refused.retry_after).encode()))
    if status == 401:
        more.append((b"www-authenticate", b"Bearer"))
    if status == 408:
        more.append((b"connection", b"close"))
    await _respond(send, status, orjson.dumps(body), more)


async def _respond(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *DEFAULT_HEADERS, *length]})
    await send({"type": "http.response.body", "body": body})
