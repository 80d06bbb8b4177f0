"""Slow, flooding or malicious clients on real sockets: they are disconnected, and others are not affected."""

import asyncio
import base64
import contextlib
import itertools
import json
import socket as sockets
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from channels.routing import get_default_application
from django.db import connection
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from accounts.tokens import issue_token
from config.tests.serving import Server as HttpServer
from live import subscriber as subscriber_module
from live.hub import Hub
from live.publish import publish_many
from live.subscriber import TOO_BIG, TOO_MANY, TOO_MANY_SOCKETS, TOO_SLOW
from live.tests.conftest import PATIENCE, headers, publish
from live.uvicorn_fast_path import Wire

pytestmark = pytest.mark.django_db(transaction=True)
in_database = database_sync_to_async


class Server(HttpServer):
    """Opsroom's application on the server that the launcher starts."""

    def __init__(self) -> None:
        super().__init__(get_default_application())

    def open(self, token: str) -> open_socket:
        address = f"ws://127.0.0.1:{self.port}/ws/notifications/"
        return open_socket(
            address,
            additional_headers={"Authorization": f"Token {token}"},
            max_size=None,
            max_queue=None,
            open_timeout=60,
        )


@pytest_asyncio.fixture
async def server(hub: Hub) -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


async def watch(socket: ClientConnection, topic: str = "broadcasts") -> None:
    await socket.send(json.dumps({"type": "subscribe", "topics": [topic]}))
    assert json.loads(await socket.recv())["type"] == "subscribed"


async def code_of(socket: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), PATIENCE)
    return socket.close_code


async def raw_client(server: Server, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a client that has subscribed and never reads again."""
    connection_ = sockets.socket()
    connection_.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    connection_.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection_, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection_, limit=1024)
    key = base64.b64encode(b"0123456789abcdef").decode()
    writer.write(
        f"GET /ws/notifications/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Token {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    text = json.dumps({"type": "subscribe", "topics": ["broadcasts"]}).encode()
    writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # a masked text frame
    await reader.readuntil(b"}")
    return reader, writer


async def until(condition, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_who_never_reads_is_cut_off_and_others_hear_everything(server, hub, token, monkeypatch):
    monkeypatch.setattr(subscriber_module, "CLOSE_TIMEOUT", 0.2)
    async with server.open(token) as reading:
        await watch(reading)
        _, writer = await raw_client(server, token)
        await until(lambda: len(hub._subscribers) == 2)
        before = subscriber_module.dropped.labels(code=TOO_SLOW)._value.get()

        heard = []
        for first in range(0, 600, 50):
            messages = [("broadcasts", "big", {"n": n, "text": "x" * 30_000}) for n in range(first, first + 50)]
            await in_database(publish_many)(messages)
            heard += [json.loads(await asyncio.wait_for(reading.recv(), PATIENCE))["data"]["n"] for _ in range(50)]

        assert heard == list(range(600))
        assert subscriber_module.dropped.labels(code=TOO_SLOW)._value.get() == before + 1
        await until(lambda: len(server._server.server_state.connections) == 1)  # aborted, without endless waiting
        writer.close()


async def test_a_message_that_does_not_leave_for_long_ends_the_socket(server, hub, token, monkeypatch):
    monkeypatch.setattr(subscriber_module, "SEND_TIMEOUT", 0.5)
    monkeypatch.setattr(subscriber_module, "CLOSE_TIMEOUT", 0.2)
    _, writer = await raw_client(server, token)
    await until(lambda: len(hub._subscribers) == 1)

    await in_database(publish_many)([("broadcasts", "big", {"text": "x" * 30_000})] * 150)

    await until(lambda: len(server._server.server_state.connections) == 0, 10)
    writer.close()


@pytest.mark.parametrize("size", [9_000, 2_000_000])
async def test_a_frame_that_is_too_large_ends_the_socket(server, token, size):
    async with server.open(token) as socket:
        await socket.send("x" * size)

        assert await code_of(socket) == TOO_BIG


async def test_a_message_in_endless_pieces_ends_the_socket(server, token):
    async def pieces():
        while True:
            yield "x" * 1_000

    async with server.open(token) as socket:
        with contextlib.suppress(ConnectionClosed):
            await asyncio.wait_for(socket.send(pieces()), PATIENCE)

        assert await code_of(socket) == TOO_BIG


async def test_bytes_end_the_socket(server, token):
    async with server.open(token) as socket:
        await socket.send(b"\x00")

        assert await code_of(socket) == subscriber_module.NOT_TEXT


async def test_a_flood_of_subscriptions_ends_the_socket_and_others_hear_everything(server, token):
    async with server.open(token) as good, server.open(token) as loud:
        await watch(good)
        with contextlib.suppress(ConnectionClosed):
            for n in range(5_000):
                await loud.send(json.dumps({"type": "subscribe", "topics": [f"broadcast:{n}"]}))

        assert await code_of(loud) == TOO_MANY
        await publish("broadcasts", "still here", {})
        assert json.loads(await asyncio.wait_for(good.recv(), PATIENCE))["type"] == "still here"


async def test_this_uvicorn_is_the_one_whose_wire_we_know(server, hub, token):
    """If this fails, every message takes the slow path: check what live/uvicorn_fast_path.py uses of uvicorn."""
    async with server.open(token) as socket:
        await watch(socket)
        (subscriber,) = hub._subscribers

        assert subscriber._wire.write("written")
        assert await socket.recv() == "written"


async def test_what_the_wire_does_not_take_at_once_goes_out_in_order(server, hub, token, monkeypatch):
    refuse_every_third = itertools.cycle([True, True, False])
    write = Wire.write
    monkeypatch.setattr(Wire, "write", lambda wire, text: next(refuse_every_third) and write(wire, text))
    async with server.open(token) as socket:
        await watch(socket)
        await in_database(publish_many)([("broadcasts", "x", {"n": n}) for n in range(300)])

        assert [json.loads(await socket.recv())["data"]["n"] for _ in range(300)] == list(range(300))


async def test_a_user_has_so_many_sockets_and_one_more_is_told_why(server, hub, token, marketer, settings):
    settings.LIVE_SOCKETS_PER_USER = 3
    _, other = await in_database(issue_token)(user=marketer)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(server.open(token)) for _ in range(3)]
        for socket in opened:
            await watch(socket)

        async with server.open(token) as refused:
            assert await code_of(refused) == TOO_MANY_SOCKETS
            assert refused.close_reason == "too many sockets"

        async with server.open(other) as somebody_elses:
            await watch(somebody_elses)
        await publish("broadcasts", "x", {})
        assert [json.loads(await socket.recv())["type"] for socket in opened] == ["x"] * 3

        await opened[0].close()
        await until(lambda: len(hub._subscribers) == 2)
        async with server.open(token) as another:
            await watch(another)


async def test_of_many_that_come_at_once_no_more_are_let_in(server, hub, token, settings):
    settings.LIVE_SOCKETS_PER_USER = 3

    async with contextlib.AsyncExitStack() as stack:
        opened = await asyncio.gather(*[stack.enter_async_context(server.open(token)) for _ in range(12)])
        await until(lambda: sum(socket.close_code == TOO_MANY_SOCKETS for socket in opened) == 9)

        assert len(hub._subscribers) == 3


async def test_leaving_leaves_nothing_behind(server, hub, token):
    async with server.open(token) as socket:
        await watch(socket)
        await watch(socket, "broadcast:1")
        assert len(hub._watchers) == 2

    await until(lambda: not hub._watchers and not hub._subscribers)


async def test_hundreds_of_sockets_hold_two_connections_to_postgres(server, hub, token, settings):
    settings.LIVE_SOCKETS_PER_USER = 300
    async with contextlib.AsyncExitStack() as stack:
        before = await in_database(_connections)()
        opened = await asyncio.gather(*[stack.enter_async_context(server.open(token)) for _ in range(300)])
        await asyncio.gather(*[watch(socket) for socket in opened])
        await publish("broadcasts", "x", {})
        await asyncio.gather(*[socket.recv() for socket in opened])

        assert await in_database(_connections)() <= before + 1  # the hub's; the other is this query's own


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return cursor.fetchone()[0]


async def test_a_page_of_another_site_is_refused_with_403(server, viewer):
    given = dict(await in_database(headers)(viewer))
    address = f"ws://127.0.0.1:{server.port}/ws/notifications/"

    for origin, status in [("http://evil.com", 403), (f"https://127.0.0.1:{server.port}", 403)]:
        with pytest.raises(InvalidStatus) as refused:
            await open_socket(address, origin=origin, additional_headers={"Cookie": given[b"cookie"].decode()})
        assert refused.value.response.status_code == status

    ours = f"http://127.0.0.1:{server.port}"
    async with open_socket(address, origin=ours, additional_headers={"Cookie": given[b"cookie"].decode()}) as socket:
        await watch(socket)


async def test_another_address_is_refused(server, token):
    with pytest.raises(InvalidStatus):
        await open_socket(
            f"ws://127.0.0.1:{server.port}/ws/other/", additional_headers={"Authorization": f"Token {token}"}
        )
