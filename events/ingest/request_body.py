"""Reading and decompressing a request's body within limits of size and time."""

from __future__ import annotations

import asyncio
import codecs
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from events.ingest.request_limits import Limit

MAX_BODY_BYTES = 512 * 1024  # bytes, both compressed and decompressed
MAX_GZIP_MEMBERS = 100  # of a gzip stream: each member costs memory and a copy of the rest of the stream
BODY_TIMEOUT = 10.0  # seconds for the whole body
# Accepted content types. Beacons send text/plain, and curl by default the last of these, even if the body is JSON.
PLAIN = (b"application/json", b"text/plain", b"", b"application/x-www-form-urlencoded")

GZIP = (b"gzip", b"x-gzip")  # two names of one coding, RFC 9110 §8.4.1.3

Receive = Callable[[], Awaitable[dict[str, Any]]]


class RequestRefused(Exception):
    """A refused request: the status and `detail` of its response, and the seconds for its Retry-After header."""

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after, self.more = status, detail, retry_after, more


class Disconnected(Exception):
    """The client disconnected before it had sent the whole body."""


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: Limit) -> bytes:
    """Return the decompressed body. BODY_TIMEOUT begins now. Raises RequestRefused, Disconnected, LimitExceeded."""
    kind = headers.get(b"content-type", b"")
    if kind not in PLAIN and kind.partition(b";")[0].strip().lower() not in PLAIN:
        raise RequestRefused(415, "Send JSON, as application/json or text/plain.")
    coding = headers.get(b"content-encoding", b"").strip().lower()
    if coding not in (b"", b"identity", *GZIP):
        raise RequestRefused(415, "The only supported content encoding is gzip.")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    limit.renew(BODY_TIMEOUT, _too_slow)
    content = await _receive(receive, limit)
    if coding in GZIP:
        content = await asyncio.to_thread(_inflated, content)
    return content.removeprefix(codecs.BOM_UTF8)  # RFC 8259 §8.1 allows parsers to ignore a BOM


async def _receive(receive: Receive, limit: Limit) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        limit.add(len(part))
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflated(content: bytes) -> bytes:
    """Decompress all members of a gzip stream (RFC 1952 §2.2), to at most MAX_BODY_BYTES. Raises RequestRefused."""
    inflated = b""
    for _ in range(MAX_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits=31)
        try:
            inflated += stream.decompress(content, MAX_BODY_BYTES + 1 - len(inflated))
        except zlib.error as error:
            raise RequestRefused(400, "The body is not gzip, though its Content-Encoding says so.") from error
        if len(inflated) > MAX_BODY_BYTES:
            raise _too_large()
        if not stream.eof:
            raise RequestRefused(400, "The gzip stream of the body is cut off.")
        content = stream.unused_data
        if not content:
            return inflated
    raise RequestRefused(400, f"The gzip stream of the body has more than {MAX_GZIP_MEMBERS} members.")


def _too_slow() -> RequestRefused:
    return RequestRefused(408, f"The body did not arrive within {BODY_TIMEOUT:.0f} seconds.")


def _too_large() -> RequestRefused:
    return RequestRefused(
        413, f"A body may have at most {MAX_BODY_BYTES // 1024} KiB after decompression. Send fewer events at once."
    )
