"""A vetted, bounded download: whatever address a stranger names, this ends in time, in size, and outside our network.

1. The address is https, without credentials, and every IP address its name resolves to is a public one.
2. The connection goes to the very IP address that was looked at; the name is resolved once, and is used for the Host
   header, SNI and the certificate only. A name that answers differently the second time (DNS rebinding) gains nothing.
3. Each redirect, three at most, goes through 1 and 2 again.
4. One deadline holds for all of it. Socket timeouts count from byte to byte, so a peer that drips would live for ever:
   a watchdog shuts the connection down instead.
5. The body is counted after inflation, and reading stops at the cap.

Origins that the operator trusts are free of rule 1, and only they may redirect to one another.
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
# Compressed anyway? One layer of these is inflated within bounds; nested ones are a bomb's, not a server's.
ENCODINGS = {"", "identity", "gzip", "deflate"}
TRANSIENT = {408, 425, 429}  # of the 4xx, those that another attempt may cure


@dataclass(frozen=True)
class Fetched:
    """A complete answer with status 200: its body, its content type as sent, and the address it came from at last."""

    body: bytes
    content_type: str
    url: str


def fetch(url: str, *, deadline: Deadline | float, max_bytes: int, trusted_origins: Collection[str] = ()) -> Fetched:
    """Download `url` with GET, in `deadline` (seconds, or one that is shared) and `max_bytes` altogether.

    `trusted_origins` (scheme://host:port) are those the operator configured. Raises DownloadError, and nothing else.
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
            trusted = set()  # a stranger may not send us to where only the operator may
    raise DownloadError(f"{came_from} redirects more than {REDIRECTS} times.", "redirect", permanent=True)


def _get(target: Target, deadline: Deadline, max_bytes: int) -> Fetched | str:
    """Return the complete answer, or the address that it redirects to."""
    with (
        _in_words(target.host, deadline),
        DeadlineWatchdog(deadline) as watchdog,
        requests.Session() as session,
    ):
        session.trust_env = False  # neither a proxy, which would connect for us, nor .netrc's passwords
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
            # Without a Content-Length the end that the watchdog made looks like any other.
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
    """Put a Retry-After header (RFC 9110: seconds or a date) into words; nothing if it is neither."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8:
        return f" and asks to wait {retry_after} seconds"
    try:
        return f" and asks to wait until {parsedate_to_datetime(retry_after):%d %B %Y %H:%M} UTC"
    except (ValueError, TypeError, IndexError):
        return ""


@contextmanager
def _in_words(host: str, deadline: Deadline) -> Iterator[None]:
    """Turn whatever requests, urllib3, http.client and ssl may raise into a DownloadError."""
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
