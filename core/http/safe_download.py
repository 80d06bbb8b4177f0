"""Download of a URL that an untrusted user supplied, bounded in time and size and limited to public addresses.

1. The URL is https, without credentials, and every IP address that its host name resolves to is public.
2. The connection goes to the IP address that was checked. The name is resolved once and afterwards only used for the
   Host header, SNI and the certificate. So a name that resolves differently the second time (DNS rebinding) has no
   effect.
3. Each redirect, at most three, goes through 1 and 2 again.
4. One deadline covers the whole download. Socket timeouts restart with each byte, so a slowly dripping peer would never
   time out: a watchdog shuts the connection down instead.
5. The body is counted after decompression, and reading stops at the limit.

Origins that the operator trusts are exempt from rule 1, and only they may redirect to one another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urljoin

import requests
from urllib3.exceptions import HTTPError, TimeoutError

from core.http.pinned_connection import Adapter, DeadlineWatchdog, connected
from core.http.url_policy import Deadline, DownloadError, Target, origin, too_slow, vetted

REDIRECTS = 3
CHUNK = 64 * 1024
HEADERS = {"User-Agent": "Opsroom/1.0", "Accept": "*/*", "Accept-Encoding": "identity"}
# If the server compresses anyway, one of these encodings is decompressed within the limit. Nested ones are a zip bomb.
ENCODINGS = {"", "identity", "gzip", "deflate"}
TRANSIENT = {408, 425, 429}  # the 4xx statuses for which a retry may succeed


@dataclass(frozen=True)
class Fetched:
    """Complete response with status 200: its body, its content type as sent, and its URL after redirects."""

    body: bytes
    content_type: str
    url: str


def fetch(url: str, *, deadline: Deadline | float, max_bytes: int, trusted_origins: Collection[str] = ()) -> Fetched:
    """Download `url` with GET, within `deadline` (seconds, or a shared Deadline) and `max_bytes` in total.

    `trusted_origins` (scheme://host:port) are those that the operator configured. Raises only DownloadError.
    """
    deadline = deadline if isinstance(deadline, Deadline) else Deadline.after(deadline)
    trusted = {origin(trusted_origin) for trusted_origin in trusted_origins}
    came_from = ""
    for _ in range(REDIRECTS + 1):
        target = vetted(url, trusted, deadline, came_from)
        answer = _get(target, deadline, max_bytes)
        if isinstance(answer, Fetched):
            return answer
        url, came_from = answer, came_from or target.host
        if not target.trusted:
            trusted = set()  # an untrusted host must not redirect to an origin that only the operator may name
    raise DownloadError(f"{came_from} redirects more than {REDIRECTS} times.", "redirect", permanent=True)


def _get(target: Target, deadline: Deadline, max_bytes: int) -> Fetched | str:
    """Return the complete response, or the URL that it redirects to."""
    with (
        _in_words(target.host, deadline),
        DeadlineWatchdog(deadline) as watchdog,
        requests.Session() as session,
    ):
        session.trust_env = False  # no proxy, which would resolve and connect itself, and no passwords of .netrc
        adapter = Adapter(partial(connected, target, deadline, watchdog))
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        with session.get(
            target.url, headers=HEADERS, allow_redirects=False, stream=True, timeout=deadline.remaining
        ) as response:
            location = session.get_redirect_target(response)
            if location is not None:
                return urljoin(target.url, location)
            if response.status_code != 200:
                raise _bad_status(target.host, response)
            body = _body(target.host, response, max_bytes)
            # Without Content-Length, a shutdown by the watchdog looks like a normal end.
            if deadline.passed:
                raise too_slow(target.host, deadline)
            return Fetched(body, response.headers.get("Content-Type", ""), target.url)


def _body(host: str, response: requests.Response, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "").strip().lower() not in ENCODINGS:
        raise DownloadError(f"{host} compressed its answer in a way that is not accepted.", "broken")
    body = bytearray()
    while chunk := response.raw.read(CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            reason = f"{host} sent more than the {max_bytes / 1024 / 1024:.3g} MiB that are accepted."
            raise DownloadError(reason, "too_large", permanent=True)
    return bytes(body)


def _bad_status(host: str, response: requests.Response) -> DownloadError:
    status = response.status_code
    known = f" {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else ""
    reason = f"{host} answered {status}{known}{_patience(response.headers.get('Retry-After', ''))}."
    return DownloadError(reason, "status", status=status, permanent=400 <= status < 500 and status not in TRANSIENT)


def _patience(retry_after: str) -> str:
    """Return a Retry-After header (RFC 9110: seconds or a date) as text; "" if it is neither."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8:
        return f" and asks to wait {retry_after} seconds"
    try:
        return f" and asks to wait until {parsedate_to_datetime(retry_after):%d %B %Y %H:%M} UTC"
    except (ValueError, TypeError, IndexError):
        return ""


@contextmanager
def _in_words(host: str, deadline: Deadline) -> Iterator[None]:
    """Turn every error that requests, urllib3, http.client and ssl raise into a DownloadError."""
    try:
        yield
    except DownloadError:
        raise
    except (HTTPError, HTTPException, OSError, ValueError) as error:  # requests' exceptions are OSErrors
        if deadline.passed or isinstance(error, TimeoutError | requests.Timeout):
            raise too_slow(host, deadline) from error
        if isinstance(error, requests.exceptions.SSLError):
            raise DownloadError(f"No secure (TLS) connection to {host} could be made.", "broken") from error
        raise DownloadError(f"{host} broke off, or did not answer in valid HTTP.", "broken") from error
