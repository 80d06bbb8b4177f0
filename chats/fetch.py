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

import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Lock, Thread, Timer
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, TimeoutError

REDIRECTS = 3
LONGEST_URL = 4000
CHUNK = 64 * 1024
HEADERS = {"User-Agent": "Opsroom/1.0", "Accept": "*/*", "Accept-Encoding": "identity"}
# Compressed anyway? One layer of these is inflated within bounds; nested ones are a bomb's, not a server's.
ENCODINGS = {"", "identity", "gzip", "deflate"}
PORTS = {"http": 80, "https": 443}
TRANSIENT = {408, 425, 429}  # of the 4xx, those that another attempt may cure
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last four bytes

Addresses = list[tuple[socket.AddressFamily, Any]]  # with the socket address, as getaddrinfo gives it


class FetchError(Exception):
    """Why a download failed: `reason` is one sentence for people, `code` is for programs.

    Codes: refused, unresolvable, timeout, status, redirect, forbidden_address, forbidden_scheme, too_large, broken.
    `status` is the HTTP status if there was one; `permanent` says that no later attempt at this address can succeed.
    """

    def __init__(self, reason: str, code: str, *, status: int | None = None, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.code, self.status, self.permanent = reason, code, status, permanent


@dataclass(frozen=True)
class Fetched:
    """A complete answer with status 200: its body, its content type as sent, and the address it came from at last."""

    body: bytes
    content_type: str
    url: str


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock that several steps share, and how many seconds it was away at first."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left. Never 0, which sockets take for "do not wait at all"."""
        return max(0.001, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at


def fetch(url: str, *, deadline: Deadline | float, max_bytes: int, trusted_origins: Collection[str] = ()) -> Fetched:
    """Download `url` with GET, in `deadline` (seconds, or one that is shared) and `max_bytes` altogether.

    `trusted_origins` (scheme://host:port) are those the operator configured. Raises FetchError, and nothing else.
    """
    deadline = deadline if isinstance(deadline, Deadline) else Deadline.after(deadline)
    trusted = {origin(trusted_origin) for trusted_origin in trusted_origins}
    came_from = ""
    for _ in range(REDIRECTS + 1):
        target = _vetted(url, trusted, deadline, came_from)
        answer = _get(target, deadline, max_bytes)
        if isinstance(answer, Fetched):
            return answer
        url, came_from = answer, came_from or target.host
        if not target.trusted:
            trusted = set()  # a stranger may not send us to where only the operator may
    raise FetchError(f"{came_from} redirects more than {REDIRECTS} times.", "redirect", permanent=True)


def origin(url: str) -> str:
    """Return the URL's scheme://host:port, in lower case and always with the port. Raises ValueError."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS.get(parts.scheme, 0)}"


# --- Vetting ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    url: str
    host: str  # with the port if it is not the usual one: for words
    addresses: Addresses
    trusted: bool


def _vetted(url: str, trusted: Collection[str], deadline: Deadline, came_from: str) -> _Target:
    """Rules 1 and 3. What a redirect leads to is told as the fault of the host that redirects."""
    try:
        return _vet(url, trusted, deadline)
    except FetchError as error:
        if came_from and error.permanent:
            reason = f"{came_from} redirects to a forbidden address: {error.reason}"
            raise FetchError(reason, "redirect", permanent=True) from error
        raise


def _vet(url: str, trusted: Collection[str], deadline: Deadline) -> _Target:
    parts = _parsed(url)
    is_trusted = origin(parts.geturl()) in trusted
    if parts.scheme != "https" and not is_trusted:
        raise FetchError(
            f"{_shown(parts.netloc)} is to be fetched over {parts.scheme}, but only https is allowed.",
            "forbidden_scheme",
            permanent=True,
        )
    addresses = _resolved(parts, deadline)
    forbidden = [] if is_trusted else [address[0] for _, address in addresses if not is_public(address[0])]
    if forbidden:
        where = "" if forbidden[0] == parts.hostname else f" leads to {forbidden[0]}, which"
        reason = f"{_shown(parts.netloc)}{where} is not a public internet address."
        raise FetchError(reason, "forbidden_address", permanent=True)
    return _Target(parts.geturl(), _shown(parts.netloc), addresses, is_trusted)


def _parsed(url: str) -> SplitResult:
    """Return the parts of the address in the very form in which it will be requested."""
    if len(url) > LONGEST_URL or not url.isprintable():
        raise FetchError("The address is far too long or not printable.", "forbidden_address", permanent=True)
    scheme = url.partition(":")[0].strip().lower()
    if scheme not in PORTS:
        words = "Only https addresses can be fetched, and this one is of another kind."
        raise FetchError(words, "forbidden_scheme", permanent=True)
    try:
        parts = urlsplit(requests.Request("GET", url).prepare().url or "")
        if not parts.hostname or origin(parts.geturl()).endswith(":0"):
            raise ValueError
    except (requests.RequestException, ValueError) as error:
        raise FetchError("The address is not a valid URL.", "forbidden_address", permanent=True) from error
    if "@" in parts.netloc:
        words = f"The address of {_shown(parts.hostname)} carries a user name or a password."
        raise FetchError(words, "forbidden_address", permanent=True)
    return parts


def _resolved(parts: SplitResult, deadline: Deadline) -> Addresses:
    """Resolve the name, once. In a thread, because nothing can hurry a resolver that hangs."""
    host, shown = parts.hostname or "", _shown(parts.netloc)
    answers: Future[Any] = Future()

    def ask() -> None:
        try:
            answers.set_result(socket.getaddrinfo(host, parts.port or PORTS[parts.scheme], type=socket.SOCK_STREAM))
        except Exception as error:
            answers.set_exception(error)

    Thread(target=ask, daemon=True, name="resolve").start()
    try:
        found = [(family, address) for family, _, _, _, address in answers.result(deadline.remaining)]
    except OSError as error:  # TimeoutError is one
        if not answers.done():
            raise _too_slow(shown, deadline) from error
        raise FetchError(f"The host name {shown} could not be resolved.", "unresolvable") from error
    except UnicodeError as error:
        raise FetchError(f"{shown} is not a valid host name.", "forbidden_address", permanent=True) from error
    if not found:
        raise FetchError(f"The host name {shown} has no address.", "unresolvable")
    return found


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the public internet, also if it is IPv4 in one of IPv6's wrappings."""
    ip = _unwrapped(ip_address(address.partition("%")[0]))
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_UNICAST:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


# --- One request --------------------------------------------------------------------------------


def _get(target: _Target, deadline: Deadline, max_bytes: int) -> Fetched | str:
    """Return the complete answer, or the address that it redirects to."""
    with (
        _in_words(target.host, deadline),
        _Watchdog(deadline) as watchdog,
        requests.Session() as session,
    ):
        session.trust_env = False  # neither a proxy, which would connect for us, nor .netrc's passwords
        adapter = _Adapter(partial(_connected, target, deadline, watchdog))
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
                raise _too_slow(target.host, deadline)
            return Fetched(body, response.headers.get("Content-Type", ""), target.url)


def _body(host: str, response: requests.Response, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "").strip().lower() not in ENCODINGS:
        raise FetchError(f"{host} compressed its answer in a way that is not accepted.", "broken")
    body = bytearray()
    while chunk := response.raw.read(CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            reason = f"{host} sent more than the {max_bytes / 1024 / 1024:.3g} MiB that are accepted."
            raise FetchError(reason, "too_large", permanent=True)
    return bytes(body)


def _bad_status(host: str, response: requests.Response) -> FetchError:
    status = response.status_code
    known = f" {HTTPStatus(status).phrase}" if status in HTTPStatus._value2member_map_ else ""
    reason = f"{host} answered {status}{known}{_patience(response.headers.get('Retry-After', ''))}."
    return FetchError(reason, "status", status=status, permanent=400 <= status < 500 and status not in TRANSIENT)


def _patience(retry_after: str) -> str:
    """Put a Retry-After header (RFC 9110: seconds or a date) into words; nothing if it is neither."""
    if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8:
        return f" and asks to wait {retry_after} seconds"
    try:
        return f" and asks to wait until {parsedate_to_datetime(retry_after):%d %B %Y %H:%M} UTC"
    except (ValueError, TypeError, IndexError):
        return ""


class _Watchdog:
    """Shuts down the connections it was shown when the deadline passes, whatever their owner waits for."""

    def __init__(self, deadline: Deadline) -> None:
        self._lock = Lock()
        self._handles: list[tuple[socket.socket, socket.socket]] = []
        self._deadline = deadline
        self._timer = Timer(deadline.remaining, self._bite)
        self._timer.daemon = True

    def __enter__(self) -> _Watchdog:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for connection, handle in self._handles:
                handle.close()
                # urllib3 forgets about connections whose headers it cannot read.
                if (left := connection.detach()) >= 0:
                    socket.close(left)
            self._handles.clear()

    def watch(self, connection: socket.socket) -> None:
        with self._lock:
            # A handle of our own: TLS empties the socket that it wraps.
            self._handles.append((connection, connection.dup()))
        if self._deadline.passed:
            self._bite()

    def _bite(self) -> None:
        with self._lock:
            for _, handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the peer was quicker


def _connected(target: _Target, deadline: Deadline, watchdog: _Watchdog) -> socket.socket:
    """Rule 2: connect to the first of the vetted addresses that answers. Each has its share of the time."""
    for left in range(len(target.addresses), 0, -1):
        family, address = target.addresses[-left]
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(deadline.remaining / left)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            continue
        connection.settimeout(deadline.remaining)
        watchdog.watch(connection)
        return connection
    if deadline.passed:
        raise _too_slow(target.host, deadline)
    raise FetchError(f"{target.host} refused the connection or cannot be reached.", "refused")


class _Connected:
    """A connection that does not look up any name: `connect` opens its socket."""

    def __init__(self, *args: Any, connect: Callable[[], socket.socket], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connect = connect

    def _new_conn(self) -> socket.socket:
        return self._connect()


class _HTTP(_Connected, HTTPConnection):
    pass


class _HTTPS(_Connected, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _HTTPS if isinstance(pool, HTTPSConnectionPool) else _HTTP
        pool.ConnectionCls = partial(kind, connect=self._connect)
        return pool


# --- Words --------------------------------------------------------------------------------------


@contextmanager
def _in_words(host: str, deadline: Deadline) -> Iterator[None]:
    """Turn whatever requests, urllib3, http.client and ssl may raise into a FetchError."""
    try:
        yield
    except FetchError:
        raise
    except (HTTPError, HTTPException, OSError, ValueError) as error:  # requests' exceptions are OSErrors
        if deadline.passed or isinstance(error, TimeoutError | requests.Timeout):
            raise _too_slow(host, deadline) from error
        if isinstance(error, requests.exceptions.SSLError):
            raise FetchError(f"No secure (TLS) connection to {host} could be made.", "broken") from error
        raise FetchError(f"{host} broke off, or did not answer in valid HTTP.", "broken") from error


def _too_slow(host: str, deadline: Deadline) -> FetchError:
    return FetchError(f"{host} did not answer completely within {deadline.seconds:g} seconds.", "timeout")


def _shown(host: str) -> str:
    return host if len(host) <= 100 else f"{host[:99]}…"
