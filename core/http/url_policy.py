"""Which URLs may be downloaded, and their addresses: https to the public internet, resolved once, within a deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests

from core.http.networks import is_public

MAX_URL_LENGTH = 4000
PORTS = {"http": 80, "https": 443}

Addresses = list[tuple[socket.AddressFamily, Any]]  # with the socket address, as getaddrinfo returns it


class DownloadError(Exception):
    """Why a download failed: `reason` is one sentence for people, `code` is for programs.

    Codes: refused, unresolvable, timeout, status, redirect, forbidden_address, forbidden_scheme, too_large, broken.
    `status` is the HTTP status if there was one. `permanent` means that no retry of this URL can succeed.
    """

    def __init__(self, reason: str, code: str, *, status: int | None = None, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.code, self.status, self.permanent = reason, code, status, permanent


@dataclass(frozen=True)
class Deadline:
    """A time on the monotonic clock that several steps share, and the original number of seconds until it."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left. Never 0, which sockets interpret as non-blocking."""
        return max(0.001, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at


@dataclass(frozen=True)
class Target:
    url: str
    host: str  # for messages: with the port if it is not the default one
    addresses: Addresses
    trusted: bool


def origin(url: str) -> str:
    """Return the URL's scheme://host:port, in lower case and always with the port. Raises ValueError."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS.get(parts.scheme, 0)}"


def vetted(url: str, trusted: Collection[str], deadline: Deadline, came_from: str) -> Target:
    """Apply rules 1 and 3 of safe_download. The error for a redirect's target names the host that redirects."""
    try:
        return _vet(url, trusted, deadline)
    except DownloadError as error:
        if came_from and error.permanent:
            reason = f"{came_from} redirects to a forbidden address: {error.reason}"
            raise DownloadError(reason, "redirect", permanent=True) from error
        raise


def _vet(url: str, trusted: Collection[str], deadline: Deadline) -> Target:
    parts = _parsed(url)
    is_trusted = origin(parts.geturl()) in trusted
    if parts.scheme != "https" and not is_trusted:
        raise DownloadError(
            f"{_shown(parts.netloc)} is to be fetched over {parts.scheme}, but only https is allowed.",
            "forbidden_scheme",
            permanent=True,
        )
    addresses = _resolved(parts, deadline)
    forbidden = [] if is_trusted else [address[0] for _, address in addresses if not is_public(address[0])]
    if forbidden:
        where = "" if forbidden[0] == parts.hostname else f" leads to {forbidden[0]}, which"
        reason = f"{_shown(parts.netloc)}{where} is not a public internet address."
        raise DownloadError(reason, "forbidden_address", permanent=True)
    return Target(parts.geturl(), _shown(parts.netloc), addresses, is_trusted)


def _parsed(url: str) -> SplitResult:
    """Return the parts of the URL in exactly the form in which it will be requested."""
    if len(url) > MAX_URL_LENGTH or not url.isprintable():
        raise DownloadError("The address is far too long or not printable.", "forbidden_address", permanent=True)
    scheme = url.partition(":")[0].strip().lower()
    if scheme not in PORTS:
        words = "Only https addresses can be fetched, and this one is of another kind."
        raise DownloadError(words, "forbidden_scheme", permanent=True)
    try:
        parts = urlsplit(requests.Request("GET", url).prepare().url or "")
        if not parts.hostname or origin(parts.geturl()).endswith(":0"):
            raise ValueError
    except (requests.RequestException, ValueError) as error:
        raise DownloadError("The address is not a valid URL.", "forbidden_address", permanent=True) from error
    if "@" in parts.netloc:
        words = f"The address of {_shown(parts.hostname)} carries a user name or a password."
        raise DownloadError(words, "forbidden_address", permanent=True)
    return parts


def _resolved(parts: SplitResult, deadline: Deadline) -> Addresses:
    """Resolve the name once, in a thread, because a hanging resolver cannot be interrupted."""
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
            raise too_slow(shown, deadline) from error
        raise DownloadError(f"The host name {shown} could not be resolved.", "unresolvable") from error
    except UnicodeError as error:
        raise DownloadError(f"{shown} is not a valid host name.", "forbidden_address", permanent=True) from error
    if not found:
        raise DownloadError(f"The host name {shown} has no address.", "unresolvable")
    return found


def too_slow(host: str, deadline: Deadline) -> DownloadError:
    return DownloadError(f"{host} did not answer completely within {deadline.seconds:g} seconds.", "timeout")


def _shown(host: str) -> str:
    return host if len(host) <= 100 else f"{host[:99]}…"
