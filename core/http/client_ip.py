"""Address of the client that sent a request, for the account lock-out and the log.

Each proxy appends the address of its own peer to `X-Forwarded-For`. So only the last `PROXY_COUNT` entries were written
by proxies, and the first of these is the client. The client itself can send any entries further left.
"""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the client's address, normalised; None only if the peer has none, as on a Unix socket."""
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return address_of(request.META.get("REMOTE_ADDR"), entries, proxies=settings.PROXY_COUNT)


def client_network(request: HttpRequest) -> str | None:
    """Return the lock-out's counting unit: a client can send from every address of its IPv6 network."""
    address = client_address(request)
    return address and network_of(address)


def address_of(peer: str | None, entries: list[str], *, proxies: int) -> str | None:
    """Return the entry that the outermost of `proxies` proxies wrote, or the peer's address.

    The peer's address is used without proxies, and if the entry is missing or not a valid address: a request that
    bypassed a proxy must not be able to choose its own address.
    """
    forwarded = entries[-proxies] if 0 < proxies <= len(entries) else ""
    return _normalised(forwarded) or _normalised(peer or "")


def _normalised(written: str) -> str | None:
    """Return an address in its shortest spelling, without port, brackets, zone or IPv4 mapping; None if not valid."""
    text = written.strip().strip('"')
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str((ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip)


def network_of(address: str) -> str:
    """Return the addresses that one client controls: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    return str(IPv6Network((address.partition("%")[0], 64), strict=False).network_address)


def bind_address(*, request: HttpRequest, **_: Any) -> None:
    """Receiver of django-structlog's signal: add the client's address to each log line of the request."""
    structlog.contextvars.bind_contextvars(ip=client_address(request))
