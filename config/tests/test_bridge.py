"""The bridge between the event loop and Django's threads: whole answers, streams, slow and vanished clients."""

import asyncio
import threading

import pytest

from config import bridge
from config.bridge import Bridge

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
    """Sends a body in parts, and keeps what comes back; `reads` is cleared to take nothing more."""

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
    """An answer of no known length: parts without end, until somebody closes it."""

    def __init__(self) -> None:
        self.made, self.closed = 0, threading.Event()

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        self.made += 1
        return b"part\n"

    def close(self) -> None:
        self.closed.set()


def echo(environ, start_response):
    """Answer with the request's body, and one header of it."""
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
    monkeypatch.setattr(bridge, "SLOWEST", 0.05)
    client = Client(b"begun", unfinished=True)

    await client.ask(Bridge(echo, threads=1))

    assert client.status == 408 and b"did not arrive" in client.body


@pytest.mark.parametrize("headers", [[(b"content-length", b"2000")], []])
async def test_a_body_that_is_too_large_is_413_said_or_not(monkeypatch, headers):
    monkeypatch.setattr(bridge, "LARGEST", 1000)
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
    monkeypatch.setattr(bridge, "SLOWEST", 0.1)
    stream, client = Stream(), Client()
    client.reads.clear()

    await client.ask(Bridge(stream, threads=1))

    assert stream.closed.is_set() and stream.made == 1


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
