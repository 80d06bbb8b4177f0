"""The HTTP protocol: an event as bytes, a batch as one request, and the meaning of the response."""

from __future__ import annotations

import enum
import gzip
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import requests

from .values import jsonable, text_of

MAX_EVENTS = 500  # per request; this limit and the next are the server's
MAX_BYTES = 512 * 1024  # per request body, before compression
WORTH_COMPRESSING = 1024  # bytes
MAX_RETRY_AFTER = 300.0  # seconds; a longer wait is shortened to this
TIMEOUT = (3.05, 15)  # seconds to connect, and for each part of the response


class Event(NamedTuple):
    """One event, ready to be sent repeatedly with the same id and bytes."""

    id: str
    body: bytes
    taken_at: float  # on the monotonic clock


def encode(session_id: Any, category: str, name: str, data: Any, timestamp: datetime | None) -> Event:
    """Return the event with a new id. Raises ValueError if it is too large, and whatever the data's methods raise."""
    event_id = str(uuid.uuid4())
    content = {
        "event_id": event_id,
        "session_id": text_of(session_id),
        "category": text_of(category),
        "name": text_of(name),
        "data": {} if data is None else jsonable(data),
        "timestamp": (timestamp or datetime.now(timezone.utc)).astimezone(timezone.utc).isoformat(),
    }
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(body) + len(b"[]") > MAX_BYTES:
        raise ValueError(f"{len(body)} bytes are too many for one request")
    return Event(event_id, body, time.monotonic())


class Verdict(enum.Enum):
    """What to do with the batch that was sent."""

    TAKEN = "taken"  # `results` has the result of each event
    REFUSED = "refused"  # because of its content: halves of it may be accepted
    LATER = "later"  # the server is down or busy
    MISCONFIGURED = "misconfigured"  # fails until the key or the URL is corrected


@dataclass(frozen=True)
class Answer:
    verdict: Verdict
    results: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""
    retry_after: float = 0.0  # seconds that the server requested


class Wire:
    """One URL, one key and one keep-alive connection, used by one thread."""

    def __init__(self, url: str, write_key: str) -> None:
        self._url = f"{url.rstrip('/')}/events/"
        self._session = requests.Session()
        # Not as Authorization, which requests replaces if .netrc has an entry for the host.
        self._session.headers.update({"X-Write-Key": write_key, "Content-Type": "application/json"})

    def send(self, events: Sequence[Event]) -> Answer:
        """Send a batch and return the classified response. Network and server errors do not raise."""
        body, headers = b"[" + b",".join(event.body for event in events) + b"]", {}
        if len(body) > WORTH_COMPRESSING:
            body, headers = gzip.compress(body, 1), {"Content-Encoding": "gzip"}
        try:
            # A redirect would turn the POST into a GET.
            response = self._session.post(self._url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        except Exception as error:  # not only requests' errors: a key that is not Latin-1 gives a UnicodeError
            return Answer(Verdict.LATER, problem=f"{type(error).__name__}: {error}")
        return _judge(response, len(events))

    def close(self) -> None:
        self._session.close()


def _judge(response: requests.Response, sent: int) -> Answer:
    status, problem = response.status_code, f"{response.status_code} {response.text[:200]}"
    if status == 202:
        results = _results(response)
        if len(results) == sent:
            return Answer(Verdict.TAKEN, results)
        return Answer(Verdict.LATER, problem="202 without a result for each event")  # not Opsroom's response
    if status in (400, 413, 422):
        return Answer(Verdict.REFUSED, problem=problem)
    if status in (408, 425, 429) or status >= 500:
        return Answer(Verdict.LATER, problem=problem, retry_after=_retry_after(response))
    return Answer(Verdict.MISCONFIGURED, problem=problem)


def _results(response: requests.Response) -> list[dict[str, Any]]:
    try:
        results = response.json()["results"]
    except (ValueError, TypeError, KeyError):
        return []
    return results if isinstance(results, list) and all(isinstance(result, dict) for result in results) else []


def _retry_after(response: requests.Response) -> float:
    """Return the header in seconds. It is a number or a date (RFC 9110 §10.2.3)."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value) if value.isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
