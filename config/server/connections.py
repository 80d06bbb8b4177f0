"""Connections of one web process: their limits, and which of them are cut.

Limits: CONNECTIONS in total, and CONNECTIONS_PER_ADDRESS per client address. If all are in use, the oldest connection
without a request is cut for a new one, so idle connections cannot lock out other clients. Behind proxies (PROXY_COUNT)
all connections come from the proxies, so the limit per address does not apply.

Every SWEEP seconds, connections are cut whose number of unsent bytes, here and in the kernel, has not changed for
STALL_TIMEOUT seconds: their client does not read. The kernel buffers at most MAX_KERNEL_BUFFER_BYTES unsent bytes per
connection.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import resource
import socket
import termios
import time
from collections import Counter
from collections.abc import Hashable
from enum import Enum
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import prometheus_client
import structlog
from django.conf import settings

from core.http.client_ip import network_of

log = structlog.get_logger(__name__)

STALL_TIMEOUT = 30.0  # seconds
SWEEP = 5.0  # seconds
MAX_KERNEL_BUFFER_BYTES = 128 * 1024  # the default would be some MiB
SPARE = 100  # connections beyond the limits, open only until they are refused
OTHER_FILES = 200  # further descriptors of the process: Postgres, Redis, broker, logs, spooled bodies
_NOTSENT_LOWAT = 25  # Linux' TCP_NOTSENT_LOWAT, which Python does not define everywhere
cut = prometheus_client.Counter("opsroom_connections_cut", "Connections refused or cut by the server", ["reason"])


class Admission(Enum):
    ADMIT = "admit"
    REFUSE = "refuse"  # with a response
    CUT = "cut"  # without a response: there are too many even for that


class Connection(Protocol, Hashable):
    """The attributes of uvicorn's protocols that this module uses."""

    transport: Any
    client: Any


class Connections:
    """All connections of one server. No method waits."""

    def __init__(self) -> None:
        self.most, self.most_per_address = settings.CONNECTIONS, settings.CONNECTIONS_PER_ADDRESS
        if settings.PROXY_COUNT:
            self.most_per_address = self.most
        self._by_address: Counter[str] = Counter()
        self._open: dict[Connection, str] = {}  # by age, oldest first
        self._unsent: dict[Connection, tuple[int, float]] = {}  # unsent bytes, and since when their number is the same
        self._sweeping = False

    def enter(self, connection: Connection) -> Admission:
        """Register a new connection until it leaves; return what to do with it."""
        address = network_of(connection.client[0]) if connection.client else ""
        of_address = self._by_address[address] + 1 if address else 0
        if of_address <= self.most_per_address and len(self._open) >= self.most:
            self._make_room()
        self._open[connection] = address
        self._by_address[address] += 1
        if not self._sweeping:
            self._sweep_later()
        excess = max(of_address - self.most_per_address, len(self._open) - self.most)
        return Admission.CUT if excess > SPARE else Admission.REFUSE if excess > 0 else Admission.ADMIT

    def replace(self, old: Connection, new: Connection) -> None:
        """Record that a connection has changed its protocol, to a WebSocket."""
        if old in self._open:
            self._open[new] = self._open.pop(old)

    def leave(self, connection: Connection) -> None:
        self._unsent.pop(connection, None)
        if (address := self._open.pop(connection, None)) is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _make_room(self) -> None:
        for connection in self._open:
            if getattr(connection, "is_idle", False):
                cut.labels("idle").inc()
                connection.transport.abort()
                self.leave(connection)
                return

    def _sweep_later(self) -> None:
        self._sweeping = True
        asyncio.get_running_loop().call_later(SWEEP, self.sweep)

    def sweep(self) -> None:
        now, unsent = time.monotonic(), self._unsent
        self._unsent = {}
        for connection in list(self._open):
            if size := _on_the_way(connection.transport):
                before, since = unsent.get(connection, (0, now))
                self._unsent[connection] = (size, since if size == before else now)
                if size == before and now - since >= STALL_TIMEOUT:
                    cut.labels("reads nothing").inc()
                    log.info("connection_cut", reason="reads nothing", unsent=size)
                    connection.transport.abort()
        self._sweeping = False
        if self._open:
            self._sweep_later()


def limit_kernel(transport: Any) -> None:
    """Limit how many unsent bytes of this connection the kernel buffers."""
    with contextlib.suppress(OSError, AttributeError):  # a Unix socket, or not Linux
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, MAX_KERNEL_BUFFER_BYTES)


def _on_the_way(transport: Any) -> int:
    """Return how many bytes the client has not acknowledged."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError, AttributeError, ValueError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, count)
    return int(transport.get_write_buffer_size()) + count[0]


_of_servers: WeakKeyDictionary[Any, Connections] = WeakKeyDictionary()


def connections_of(server: Any) -> Connections:
    """Return the connections of this server, which is identified by uvicorn's state."""
    if server not in _of_servers:
        _of_servers[server] = Connections()
    return _of_servers[server]


def allow_open_files() -> None:
    """Raise the soft limit of open files to what the connections need, at most to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.CONNECTIONS + SPARE + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        log.warning("few_open_files", allowed=hard, needed=needed, remedy="Lower CONNECTIONS or raise ulimit -n.")
        needed = hard
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
