"""Sending of a response by the event loop, part by part as the client reads, with a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import IO, Any

from config.server.response_buffer import AT_ONCE, HungUp

SEND_TIMEOUT = 60.0  # seconds for AT_ONCE bytes; config/server/connections.py cuts earlier if not one is taken

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class FileBody:
    """WSGI's file wrapper: a file that the event loop sends and closes."""

    streaming = True  # Django's name for it

    def __init__(self, file: IO[bytes], block_size: int = AT_ONCE) -> None:
        self._file = file

    def read(self) -> bytes:
        return self._file.read(AT_ONCE)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.read, b"")

    def close(self) -> None:
        self._file.close()


async def send_file(head: Callable[[], Message], file: FileBody, receive: Receive, send: Send) -> None:
    """Send a file that a thread reads; the thread does not wait for the client. Raises HungUp."""
    try:
        await send_parts(head, partial(asyncio.to_thread, file.read), receive, send)
    finally:
        await asyncio.to_thread(file.close)


async def send_parts(
    head: Callable[[], Message],
    take: Callable[[], Awaitable[bytes]],
    receive: Receive,
    send: Send,
    when_gone: Callable[[], None] = lambda: None,
) -> None:
    """Send the head with the first part that `take` returns, then the other parts, until it returns b"".

    Calls `when_gone` as soon as the client disconnects. Raises HungUp then, and if the client does not read.
    """
    gone = asyncio.ensure_future(_gone(receive))
    gone.add_done_callback(lambda _: when_gone())
    try:
        part = await take()
        await _in_time(send, head())
        while part:
            await _in_time(send, {"type": "http.response.body", "body": part, "more_body": True})
            if gone.done():
                raise HungUp
            part = await take()
        await _in_time(send, {"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    """Return when the client has disconnected. Unread parts of the request body are discarded."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _in_time(send: Send, message: Message) -> None:
    """Send a message once the client has read enough of earlier ones. Raises HungUp after SEND_TIMEOUT seconds."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT):
            await send(message)
    except TimeoutError:
        raise HungUp from None


async def hang_up(send: Send) -> None:
    """Abort the connection and discard unsent bytes. Only uvicorn's `send` gives access to it; ASGI does not."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        for _ in range(3):  # until uvicorn has noticed; otherwise it logs an incomplete response
            await asyncio.sleep(0)
