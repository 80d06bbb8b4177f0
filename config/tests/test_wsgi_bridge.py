"""The bridge between event loop and Django's threads: whole responses, streams, slow and disconnected clients."""

import asyncio
import threading

import pytest

from config.server import response_buffer, response_sender, wsgi_bridge
from config.server.wsgi_bridge import Bridge
from config.tests.serving import until

REQUEST = {
    "type": "http",
    "method": "POST",
    "path": "/any/",
    "query_string": b"",
    "http_version": "1.1",
    "scheme": "http",
    "headers": [],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 2),
}


class Client:
    """Sends a body in parts and keeps the response; clear `reads` to stop reading."""

    def __init__(self, *parts: bytes, unfinished: bool = False) -> None:
        self.messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts or [b""]]
        self.messages[-1]["more_body"] = unfinished
        self.hung_up, self.reads, self.has_read_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.reads.set()
        self.got: list[dict] = []

    async def receive(self) -> dict:
        if self.messages:
            return self.messages.pop(0)
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        await self.reads.wait()
        self.got.append(message)
        if len(self.got) > 10:
            self.has_read_on.set()

    async def ask(self, app: Bridge, *headers: tuple[bytes, bytes]) -> None:
        await app(REQUEST | {"headers": list(headers)}, self.receive, self.send)

    @property
    def status(self) -> int:
        return self.got[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got)


class Stream:
    """Response of unknown length: endless parts, until it is closed."""

    def __init__(self, part: bytes = b"part\n") -> None:
        self.part, self.made, self.closed = part, 0, threading.Event()

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        self.made += 1
        return self.part

    def close(self) -> None:
        self.closed.set()


def echo(environ, start_response):
    """Answer with the request's body, and one of its headers."""
    content = environ["wsgi.input"].read()
    start_response("201 Created", [("Content-Length", str(len(content))), ("X-Heard", environ.get("HTTP_X_SAID", ""))])
    return [content]


async def test_a_short_answer_is_one_head_and_one_body():
    client = Client(b"he", b"llo")

    await client.ask(Bridge(echo, threads=1), (b"x-said", b"hi"))

    assert [message["type"] for message in client.got] == ["http.response.start", "http.response.body"]
    assert (client.status, client.body) == (201, b"hello")
    assert (b"x-heard", b"hi") in client.got[0]["headers"]


async def test_a_header_with_an_underscore_is_not_taken_for_the_one_with_a_dash():
    client = Client()

    await client.ask(Bridge(echo, threads=1), (b"x_said", b"a lie"))

    assert (b"x-heard", b"") in client.got[0]["headers"]


async def test_a_large_body_and_a_large_answer_arrive_whole():
    content = bytes(range(256)) * 3000 * 4
    client = Client(*(content[at : at + 65536] for at in range(0, len(content), 65536)))

    await client.ask(Bridge(echo, threads=1))

    assert client.body == content
    assert client.got[-1]["more_body"] is False


async def test_a_slow_body_keeps_no_thread_from_others():
    app, slow, quick = Bridge(echo, threads=1), Client(b"begun", unfinished=True), Client(b"whole")
    waiting = asyncio.create_task(slow.ask(app))

    await quick.ask(app)

    assert quick.body == b"whole" and not slow.got
    slow.hung_up.set()
    await waiting
    assert not slow.got


async def test_a_body_that_does_not_come_is_408(monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "BODY_TIMEOUT", 0.05)
    client = Client(b"begun", unfinished=True)

    await client.ask(Bridge(echo, threads=1))

    assert client.status == 408 and b"did not arrive" in client.body


@pytest.mark.parametrize("headers", [[(b"content-length", b"2000")], []])
async def test_a_body_that_is_too_large_is_413_said_or_not(monkeypatch, headers):
    monkeypatch.setattr(wsgi_bridge, "MAX_BODY_BYTES", 1000)
    client = Client(b"x" * 600, b"x" * 600)

    await client.ask(Bridge(echo, threads=1), *headers)

    assert client.status == 413 and b"too large" in client.body


async def test_a_stream_is_sent_as_it_is_made_and_ends_when_the_client_hangs_up():
    stream, client = Stream(), Client()
    asking = asyncio.create_task(client.ask(Bridge(stream, threads=1)))
    await client.has_read_on.wait()

    client.hung_up.set()
    await asking

    assert stream.closed.is_set()
    assert client.body.startswith(b"part\n") and all(message.get("more_body", True) for message in client.got)


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(response_sender, "SEND_TIMEOUT", 0.1)
    stream, client = Stream(), Client()
    client.reads.clear()

    await client.ask(Bridge(stream, threads=1))

    assert stream.closed.is_set() and not client.got


async def test_a_stream_waits_for_a_client_that_is_slower_than_it(monkeypatch):
    monkeypatch.setattr(response_buffer, "MAX_RESPONSE_BYTES", 1_000_000)
    stream, client = Stream(b"x" * 10_000), Client()
    client.reads.clear()
    asking = asyncio.create_task(client.ask(Bridge(stream, threads=1)))
    await until(lambda: stream.made >= 100)
    await asyncio.sleep(0.2)

    assert stream.made <= 120
    client.reads.set()
    await client.has_read_on.wait()
    client.hung_up.set()
    await asking
    assert stream.closed.is_set()


async def test_a_stream_ends_where_its_client_takes_nothing_of_much(monkeypatch):
    monkeypatch.setattr(response_buffer, "MAX_RESPONSE_BYTES", 100_000)
    monkeypatch.setattr(response_buffer, "WAIT_TIMEOUT", 0.1)
    stream, client = Stream(b"x" * 10_000), Client()
    client.reads.clear()

    asking = asyncio.create_task(client.ask(Bridge(stream, threads=1)))
    await until(stream.closed.is_set)

    client.reads.set()
    await asking
    assert client.got[-1].get("more_body", True)  # the response is visibly incomplete


@pytest.mark.parametrize("announced", [True, False])
async def test_no_thread_waits_for_clients_that_do_not_read(announced):
    content = bytes(range(256)) * 20_000

    def large(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(content)))] if announced else [])
        return [content]

    def either(environ, start_response):
        return (echo if environ["PATH_INFO"] == "/echo/" else large)(environ, start_response)

    app, slow = Bridge(either, threads=1), [Client() for _ in range(10)]
    for client in slow:
        client.reads.clear()
    asking = [asyncio.create_task(client.ask(app)) for client in slow]
    quick = Client(b"quick")

    await app(REQUEST | {"path": "/echo/"}, quick.receive, quick.send)

    assert quick.body == b"quick" and not any(client.got for client in slow)
    for client in slow:
        client.reads.set()
    await asyncio.gather(*asking)
    assert all(client.body == content and client.got[-1]["more_body"] is False for client in slow)


async def test_beyond_what_may_wait_the_answer_that_was_taken_longest_ago_is_cut(monkeypatch):
    monkeypatch.setattr(response_buffer, "MAX_TOTAL_BYTES", 3_000_000)

    def large(environ, start_response):
        start_response("200 OK", [("Content-Length", "1000000")])
        return [b"x" * 1_000_000]

    app, slow = Bridge(large, threads=1), [Client() for _ in range(4)]
    asking, first = [], None
    for client in slow:
        client.reads.clear()
        asking.append(asyncio.create_task(client.ask(app)))
        await until(lambda: len(response_buffer._all._sizes) == min(3, len(asking)))
        first = first or next(iter(response_buffer._all._sizes))
    await until(lambda: first.is_cut)

    for client in slow:
        client.reads.set()
    await asyncio.gather(*asking)
    whole = [len(client.body) == 1_000_000 for client in slow]
    assert whole == [False, True, True, True]
    assert response_buffer._all._size == 0


async def test_a_stream_that_waits_for_its_turn_is_closed_when_its_client_hangs_up(monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "STREAMS", 1)
    monkeypatch.setattr(response_buffer, "MAX_RESPONSE_BYTES", 100_000)
    first, second, begun = Stream(b"x" * 10_000), Stream(), []

    def one_of_two(environ, start_response):
        begun.append(environ["PATH_INFO"])
        return (first if len(begun) == 1 else second)(environ, start_response)

    app, clients = Bridge(one_of_two, threads=1), [Client(), Client()]
    clients[0].reads.clear()
    asking = [asyncio.create_task(clients[0].ask(app))]
    await until(lambda: first.made > 5)
    asking.append(asyncio.create_task(clients[1].ask(app)))
    await until(lambda: len(begun) == 2)

    clients[1].hung_up.set()
    await asking[1]

    assert second.closed.is_set() and second.made == 0
    clients[0].hung_up.set()
    clients[0].reads.set()
    await asking[0]


async def test_a_file_is_sent_by_the_loop_and_closed_also_for_a_client_that_hangs_up(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 2_000)
    files = []

    def serve(environ, start_response):
        start_response("200 OK", [("Content-Length", "512000")])
        files.append(path.open("rb"))
        return environ["wsgi.file_wrapper"](files[-1])

    app, gone, reads = Bridge(serve, threads=1), Client(), Client()
    gone.reads.clear()
    asking = asyncio.create_task(gone.ask(app))
    await until(lambda: files)

    await reads.ask(app)  # with the same thread
    gone.hung_up.set()
    gone.reads.set()
    await asking

    assert reads.body == path.read_bytes() and len(gone.body) < 512_000
    assert [file.closed for file in files] == [True, True]


async def test_a_body_in_chunks_is_read_whole():
    client = Client(b"he", b"llo")

    await client.ask(Bridge(echo_by_length, threads=1), (b"transfer-encoding", b"chunked"))

    assert client.body == b"hello"


def echo_by_length(environ, start_response):
    """Read as Django does: as much as CONTENT_LENGTH announces."""
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


async def test_a_body_that_drips_is_408_though_each_part_is_in_time(monkeypatch):
    monkeypatch.setattr(wsgi_bridge, "BODY_TIMEOUT", 0.3)
    client = Client(b"begun", unfinished=True)
    receive = client.receive

    async def drip() -> dict:
        if client.messages:
            return await receive()
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    client.receive = drip

    await client.ask(Bridge(echo, threads=1))

    assert client.status == 408


async def test_an_error_in_the_middle_of_a_stream_is_not_taken_for_its_end():
    def broken(environ, start_response):
        start_response("200 OK", [])
        yield b"so far"
        raise ValueError("and no further")

    client = Client()

    with pytest.raises(ValueError, match="no further"):
        await client.ask(Bridge(broken, threads=1))
    assert client.body == b"so far"


async def test_a_stream_that_ends_says_so():
    def short(environ, start_response):
        start_response("200 OK", [])
        yield from (b"one", b"two")

    client = Client()
    await client.ask(Bridge(short, threads=1))

    assert client.body == b"onetwo" and client.got[-1]["more_body"] is False
