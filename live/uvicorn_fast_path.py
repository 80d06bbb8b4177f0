"""What ASGI has no words for, asked of the server that Opsroom runs on: write without waiting, and cut the line.

uvicorn's `send` is a method of its protocol, through which one reaches the connection. With another server, or another
uvicorn than the one locked (a test notices), nothing here does anything and everything goes through `send`, slower:
benchmarks/live.py took 35 ms to 500 sockets that way, 15 ms this way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from websockets.frames import Frame, Opcode

_KNOWN = "WebSocketsSansIOProtocol"


class Wire:
    def __init__(self, send: Callable[..., Any]) -> None:
        protocol = getattr(send, "__self__", None)
        known = any(kind.__name__ == _KNOWN for kind in type(protocol).__mro__)
        self._protocol: Any = protocol if known else None

    def write(self, text: str) -> bool:
        """Send the message if it can leave at once, and return whether it did.

        It can while the socket is open, not compressed, and its peer takes what it is sent: the server's own `send`
        waits for the same `writable`, which is not set while too many bytes lie unsent.
        """
        protocol = self._protocol
        if (
            protocol is None
            or not protocol.writable.is_set()
            or protocol.close_sent
            or not protocol.handshake_complete
            or protocol.transport.is_closing()
            or protocol.conn.extensions
        ):
            return False
        protocol.transport.write(_frame(text))
        return True

    def abort(self) -> None:
        """Cut the connection, whatever still waits to be sent."""
        if self._protocol is not None:
            self._protocol.transport.abort()


@lru_cache(maxsize=4)
def _frame(text: str) -> bytes:
    """One message goes to many sockets in a row: its frame is made once."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
