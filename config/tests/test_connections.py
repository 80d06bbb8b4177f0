"""Too large or incomplete heads, and endless connections: refused or cut, while other clients are served."""

import asyncio
import json

import pytest
import pytest_asyncio

from config.server import connections, http_protocol
from config.tests.serving import Server, connect, serving, until

ASK = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (
    b"GET /ws/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


async def application(scope, receive, send):
    """Respond with the path; /slow never responds; /long exceeds any client's buffer; WebSockets are accepted."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    if scope["path"] == "/slow":
        await asyncio.Event().wait()
    body = scope["path"].encode() if scope["path"] != "/long" else b"x" * 4_000_000
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    for at in range(0, len(body), 65536):
        await send({"type": "http.response.body", "body": body[at : at + 65536], "more_body": at + 65536 < len(body)})


@pytest_asyncio.fixture
async def server():
    async with serving(application) as server:
        yield server


async def is_served(server: Server, address: str = "127.0.0.1") -> bool:
    peer = await connect(server, address)
    peer.send(ASK)
    served = (await peer.answer()).endswith(b"/x")
    peer.close()
    return served


def is_refusal(answer: bytes, status: int) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in head and b"Connection: close" in head
    return json.loads(body)["status"] == status


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 300,
        b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 300 + b"\r\n",
        UPGRADE + b"X: " + b"x" * 70_000 + b"\r\n\r\n",
        UPGRADE + b"X: x\r\n" * 300 + b"\r\n",
    ],
    ids=["line", "header, unfinished", "header", "lines, unfinished", "lines", "handshake", "its lines"],
)
async def test_a_head_that_is_too_large_is_431(server, head):
    peer = await connect(server)
    peer.send(head)

    assert is_refusal(await peer.read(), 431)
    assert await is_served(server)


async def test_a_content_length_of_thousands_of_digits_is_400(server):
    peer = await connect(server)
    peer.send(b"POST / HTTP/1.1\r\nContent-Length: " + b"0" * 5_000 + b"2\r\n\r\n{}")

    assert is_refusal(await peer.read(), 400)
    assert await is_served(server)


@pytest.mark.parametrize(
    "handshake",
    [
        UPGRADE + b"Content-Length: 300\r\n\r\n",
        UPGRADE + b"X: x\r\n" * 150 + b"\r\n",
        UPGRADE + b"X: " + b"x" * 9_000 + b"\r\n\r\n",
    ],
    ids=["body", "lines", "line"],
)
async def test_a_handshake_that_the_library_refuses_is_400_and_holds_no_connection(server, handshake):
    peer = await connect(server)
    peer.send(handshake)

    assert is_refusal(await peer.read(), 400)
    await until(lambda: server.connections == 0)


async def test_a_large_head_behind_a_request_that_is_being_answered_is_cut(server):
    peer = await connect(server)
    peer.send(b"GET /slow HTTP/1.1\r\n\r\nGET /" + b"x" * 1_000_000)

    assert await peer.read() == b""


async def test_a_head_of_64_kib_is_taken(server):
    peer = await connect(server)
    peer.send(b"GET /x HTTP/1.1\r\nX: " + b"x" * (64 * 1024 - 100) + b"\r\n\r\n" + ASK)

    assert b"200 OK" in await peer.answer() and b"200 OK" in await peer.answer()


@pytest.mark.parametrize(
    "tail", [b"0\r\nX: " + b"x" * 1_000_000, b"0\r\n" + b"X: x\r\n" * 100_000, b"1;" + b"x" * 1_000_000]
)
async def test_what_no_application_sees_is_bounded_as_well(server, tail):
    peer = await connect(server)
    peer.send(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + tail)

    assert b"200 OK" not in await peer.read()
    await until(lambda: server.connections == 0)


@pytest.mark.parametrize("part", [b"GET / HT", b"GET / HTTP/1.1\r\nX: y\r\n", UPGRADE, ASK + b"GET / H"])
async def test_a_head_that_does_not_come_whole_is_408(server, part, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.2)
    peer = await connect(server)
    peer.send(part)

    answer = await peer.read()

    assert is_refusal(answer[answer.index(b"HTTP/1.1 408") :], 408)


@pytest.mark.parametrize("part", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_connection_that_asks_nothing_is_cut(server, part, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.2)
    peer = await connect(server)
    peer.send(part)

    assert await peer.read() == b""
    await until(lambda: server.connections == 0)


async def test_line_breaks_do_not_keep_an_answered_connection_open(server, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.2)
    peer = await connect(server)
    peer.send(ASK)
    await peer.answer()
    peer.send(b"\r\n")

    assert await peer.read() == b""


async def test_a_head_byte_by_byte_is_cut_though_each_byte_is_in_time(server, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.3)
    peer = await connect(server)

    async def drip() -> None:
        for byte in ASK[:-1] + b"x" * 1_000:
            peer.send(bytes([byte]))
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())

    assert is_refusal(await peer.read(), 408)
    dripping.cancel()


async def test_an_open_websocket_is_not_taken_for_a_late_head(server, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.1)
    peer = await connect(server)
    peer.send(UPGRADE + b"\r\n")
    await peer.reader.readuntil(b"\r\n\r\n")

    await asyncio.sleep(0.5)

    assert server.connections == 1 and not peer.reader.at_eof()


async def test_a_request_that_is_being_answered_is_not_cut_for_half_of_the_next(server, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT", 0.1)
    peer = await connect(server)
    peer.send(b"GET /slow HTTP/1.1\r\n\r\nGET / H")

    await asyncio.sleep(0.5)

    assert server.connections == 1 and not peer.reader.at_eof()
    peer.close()


async def test_requests_that_are_piled_up_are_cut(server):
    peer = await connect(server)
    peer.send(b"GET /slow HTTP/1.1\r\n\r\n" + ASK * 1_000)

    assert await peer.read() == b""


async def test_connections_of_one_address_are_bounded_and_others_are_served(monkeypatch, settings):
    settings.CONNECTIONS_PER_ADDRESS, settings.CONNECTIONS = 5, 20
    async with serving(application) as server:
        for _ in range(4):
            (await connect(server)).send(b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        socket = await connect(server)
        socket.send(UPGRADE + b"\r\n")  # a WebSocket counts too
        await socket.reader.readuntil(b"\r\n\r\n")

        refused = await (await connect(server)).read()

        assert is_refusal(refused, 503) and b"Retry-After: 5" in refused
        assert await is_served(server, "127.0.0.2")
        socket.close()
        await until(lambda: server.connections == 4)
        assert await is_served(server)


async def test_behind_proxies_only_the_total_counts(settings):
    settings.CONNECTIONS_PER_ADDRESS, settings.CONNECTIONS, settings.PROXY_COUNT = 1, 20, 1
    async with serving(application) as server:
        for _ in range(5):
            (await connect(server)).send(b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n")

        assert await is_served(server)


async def test_for_a_new_connection_the_oldest_idle_one_is_cut(settings):
    settings.CONNECTIONS_PER_ADDRESS = settings.CONNECTIONS = 3
    async with serving(application) as server:
        busy = await connect(server)
        busy.send(b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        half = await connect(server, "127.0.0.2")
        half.send(b"GET / H")
        answered = await connect(server, "127.0.0.2")
        answered.send(ASK)
        await answered.answer()

        assert await is_served(server, "127.0.0.3")

        assert await half.read() == b"" and not busy.reader.at_eof() and not answered.reader.at_eof()


async def test_where_all_are_busy_a_new_connection_is_503(settings):
    settings.CONNECTIONS_PER_ADDRESS = settings.CONNECTIONS = 3
    async with serving(application) as server:
        for last in range(3):
            peer = await connect(server, f"127.0.0.{last + 1}")
            peer.send(b"GET /slow HTTP/1.1\r\n\r\n")
        await until(lambda: server.connections == 3)
        await asyncio.sleep(0.1)

        assert is_refusal(await (await connect(server, "127.0.0.9")).read(), 503)


async def test_of_one_address_no_number_of_refused_connections_locks_out_others(monkeypatch, settings):
    monkeypatch.setattr(connections, "SPARE", 2)
    monkeypatch.setattr(http_protocol, "LINGER", 60.0)
    settings.CONNECTIONS_PER_ADDRESS, settings.CONNECTIONS = 2, 8
    async with serving(application) as server:
        for _ in range(30):
            (await connect(server)).send(b"GET /slow HTTP/1.1\r\n\r\n")

        assert await is_served(server, "127.0.0.2")
        await until(lambda: server.connections == 4)


async def test_a_client_that_reads_nothing_is_cut_and_one_that_reads_slowly_is_not(monkeypatch):
    monkeypatch.setattr(connections, "SWEEP", 0.05)
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 1.5)
    async with serving(application) as server:
        stalled, slow = await connect(server, buffer=4096), await connect(server, buffer=4096)
        stalled.send(b"GET /long HTTP/1.1\r\n\r\n")
        slow.send(b"GET /long HTTP/1.1\r\n\r\n")
        got = 0
        while got < 4_000_000 and (part := await slow.reader.read(65536)):
            got += len(part)
            await asyncio.sleep(0.001)

        assert got > 4_000_000 - 1
        await until(lambda: server.connections == 1)


async def test_an_answer_that_is_complete_but_unread_does_not_keep_its_connection(monkeypatch):
    monkeypatch.setattr(connections, "SWEEP", 0.05)
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 0.3)

    async def at_once(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9000000")]})
        await send({"type": "http.response.body", "body": b"x" * 9_000_000})

    async with serving(at_once) as server:
        (await connect(server, buffer=4096)).send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        await until(lambda: server.connections == 1)

        await until(lambda: server.connections == 0)
