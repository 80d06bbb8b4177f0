"""Connections to checked IP addresses only, which end at their deadline whatever the peer does."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from threading import Lock, Timer
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from core.http.url_policy import Deadline, DownloadError, Target, too_slow


class DeadlineWatchdog:
    """Shuts down the connections that were passed to `watch` when the deadline passes, even while a read blocks."""

    def __init__(self, deadline: Deadline) -> None:
        self._lock = Lock()
        self._handles: list[tuple[socket.socket, socket.socket]] = []
        self._deadline = deadline
        self._timer = Timer(deadline.remaining, self._bite)
        self._timer.daemon = True

    def __enter__(self) -> DeadlineWatchdog:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for connection, handle in self._handles:
                handle.close()
                # urllib3 does not close connections whose headers it cannot read.
                if (left := connection.detach()) >= 0:
                    socket.close(left)
            self._handles.clear()

    def watch(self, connection: socket.socket) -> None:
        with self._lock:
            # A duplicate handle: TLS detaches the original socket when it wraps it.
            self._handles.append((connection, connection.dup()))
        if self._deadline.passed:
            self._bite()

    def _bite(self) -> None:
        with self._lock:
            for _, handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the peer closed it first


def connected(target: Target, deadline: Deadline, watchdog: DeadlineWatchdog) -> socket.socket:
    """Rule 2 of safe_download: connect to the first checked address that answers. They share the remaining time."""
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
        raise too_slow(target.host, deadline)
    raise DownloadError(f"{target.host} refused the connection or cannot be reached.", "refused")


class _Connected:
    """Connection without name lookup: `connect` opens its socket."""

    def __init__(self, *args: Any, connect: Callable[[], socket.socket], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._connect = connect

    def _new_conn(self) -> socket.socket:
        return self._connect()


class _HTTP(_Connected, HTTPConnection):
    pass


class _HTTPS(_Connected, HTTPSConnection):
    pass


class Adapter(HTTPAdapter):
    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _HTTPS if isinstance(pool, HTTPSConnectionPool) else _HTTP
        pool.ConnectionCls = partial(kind, connect=self._connect)
        return pool
