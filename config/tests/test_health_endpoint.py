"""`/ping/` and `/health/` respond to all clients, however busy Django is, and even if Redis does not respond."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from config.monitoring import health, service_checks
from config.monitoring.health import SharedCheck
from config.server.health_endpoint import HealthEndpoint
from config.tests.serving import connect, serving, until
from config.tests.web_process import web_process
from core.redis_cache import ForgivingRedisCache


@pytest.fixture
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """Yield the URL of a Redis that accepts connections and never responds, and the list of these connections."""
    server, taken = socket.create_server(("127.0.0.1", 0)), []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", taken
    server.close()
    for connection in taken:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_with_a_silent_redis_twenty_askers_get_their_answer_and_share_its_check(tmp_path, silent):
    url, _ = silent

    with web_process(tmp_path, REDIS_URL=url) as web, ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(requests.get, f"{web.url}/health/", timeout=30) for _ in range(20)]
        pings = [pool.submit(requests.get, f"{web.url}/ping/", timeout=30) for _ in range(20)]
        answers = [one.result() for one in asked]
        assert {one.result().status_code for one in pings} == {200}

    for answer in answers:
        parts = answer.json()["parts"]
        assert answer.status_code == 503 and not parts["redis"]["ok"] and parts["database"]["ok"]
        assert parts["worker"]["detail"] == "not known without Redis"
    assert len({answer.json()["time"] for answer in answers}) <= 2


async def ask(server, path: str, method: str = "GET") -> tuple[int, dict]:
    peer = await connect(server)
    peer.send(f"{method} {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await peer.read()).partition(b"\r\n\r\n")
    assert b"no-store" in head
    return int(head.split()[1]), json.loads(body or b"{}")


async def test_ping_is_answered_while_a_look_hangs_and_others_get_the_last_one(monkeypatch):
    looks, released = [], threading.Event()

    def look() -> tuple[int, dict]:
        looks.append(None)
        if len(looks) > 1:
            released.wait(60)
        return 200, {"look": len(looks)}

    monkeypatch.setattr(health, "_check_all", look)
    monkeypatch.setattr(health, "FRESH", 0.0)
    monkeypatch.setattr(health, "KEPT", 600.0)
    monkeypatch.setattr("config.server.health_endpoint.shared", SharedCheck())
    try:
        async with serving(HealthEndpoint()) as server:
            assert await ask(server, "/health/") == (200, {"look": 1})
            assert await ask(server, "/health/") == (200, {"look": 1})
            await until(lambda: len(looks) == 2)  # and it hangs

            again = await asyncio.gather(*(ask(server, "/health/") for _ in range(20)))

            assert again == [(200, {"look": 1})] * 20 and len(looks) == 2
            assert (await ask(server, "/ping/"))[1]["status"] == "ok"
            assert await ask(server, "/ping/", "HEAD") == (200, {})
    finally:
        released.set()


def test_a_check_that_hangs_is_not_begun_again(monkeypatch):
    begun, released = [], threading.Event()

    def hangs() -> str:
        begun.append(None)
        released.wait(60)
        return "answers"

    monkeypatch.setattr(service_checks, "redis", hangs)
    monkeypatch.setattr(health, "CHECK_TIMEOUT", 0.3)
    try:
        for _ in range(3):
            found = {part.name: part for part in health.parts()}
            assert found["redis"].detail == "does not answer in time" and len(begun) == 1
    finally:
        released.set()


def test_the_cache_leaves_a_silent_redis_alone_for_a_while(silent):
    url, taken = silent
    cache = ForgivingRedisCache(url, {"OPTIONS": {"socket_timeout": 0.2}})

    assert cache.get("key", "default") == "default"
    asked = len(taken)
    assert [cache.get("key"), cache.add("key", 1), cache.incr("key")] == [None, True, 1]
    other = ForgivingRedisCache(url, {})  # another thread's cache
    assert other.get_many(["a"]) == {}

    assert len(taken) == asked > 0


def test_after_its_rest_one_caller_alone_asks_a_silent_redis(silent, monkeypatch):
    url, taken = silent
    monkeypatch.setattr("core.redis_cache.RETRY_INTERVAL", 0.0)
    ForgivingRedisCache(url, {"OPTIONS": {"socket_timeout": 0.2}}).get("key")
    monkeypatch.setattr("core.redis_cache.RETRY_INTERVAL", 600.0)
    asked = len(taken)
    callers = [ForgivingRedisCache(url, {"OPTIONS": {"socket_timeout": 0.2}}) for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda cache: cache.get("key", "default"), callers)) == ["default"] * 20

    assert len(taken) <= 2 * asked  # one try and one retry of a single caller
