"""Real processes with injected faults: writes continue, and every client ends with the complete state."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from config.tests.instance import PROJECT, Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
CLIENTS, CHANGES, TOPICS = 200, 5_000, 10
KEY = "0123456789abcdef0123456789abcdef01234567"
MAKE_USER = f"""
from django.contrib.auth.models import User
from accounts.tokens import issue_token
issue_token(user=User.objects.create_superuser("root"), key="{KEY}")
"""
# Prints how long the slowest publishing transaction took; exits with an error if any of them failed.
PUBLISH = """
import sys, time, django; django.setup()
from django.db import transaction
from live.publish import publish
first, count, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
slowest = 0
for n in range(first, first + count):
    started = time.monotonic()
    with transaction.atomic():
        publish(f"broadcast:{n % 10}", "changed", {"n": n})
    slowest = max(slowest, time.monotonic() - started)
    time.sleep(pause)
print(slowest)
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("live"), LIVE_SOCKETS_PER_USER=str(2 * CLIENTS)) as instance:
        instance.shell(MAKE_USER)
        instance.start_web()
        yield instance


class Publisher:
    """Another process that publishes `count` messages."""

    def __init__(self, instance: Instance, first: int, count: int, pause: float = 0.0) -> None:
        argv = [sys.executable, "-W", "ignore", "-c", PUBLISH, str(first), str(count), str(pause)]
        self.process = subprocess.Popen(
            argv, cwd=PROJECT, env=instance.env, stdout=subprocess.PIPE, stderr=instance.log, text=True
        )

    def slowest(self) -> float:
        """Wait until it ends; return the seconds of its slowest write."""
        out, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0
        return float(out)


class Client:
    """Client that follows the protocol: reconnects after every loss, with the last number that it has seen."""

    def __init__(self, instance: Instance, topics: list[str]) -> None:
        self.url = f"ws://127.0.0.1:{instance.port}/ws/notifications/"
        self.instance, self.topics = instance, topics
        self.last: int | None = None
        self.state: dict[str, int] = {}
        self.heard: list[int] = []  # since the last reload
        self.reloads = self.losses = 0
        self.ready = asyncio.Event()
        self.socket = None

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                given = {"Authorization": f"Token {KEY}"}
                async with connect(self.url, additional_headers=given, open_timeout=30, max_queue=None) as self.socket:
                    since = {} if self.last is None else {"since": self.last}
                    await self.socket.send(json.dumps({"type": "subscribe", "topics": self.topics} | since))
                    async for text in self.socket:
                        await self.take(json.loads(text))
            self.losses += 1
            await asyncio.sleep(random.random())

    async def take(self, message: dict) -> None:
        if "data" in message:
            assert self.last is None or message["seq"] > self.last, "twice, or out of order"
            self.last = message["seq"]
            self.heard.append(message["seq"])
            self.state[message["topic"]] = message["data"]["n"]
        elif message["type"] == "reload":
            self.reloads += 1
            self.heard.clear()
        elif message["type"] == "subscribed":
            self.last = message["seq"]
            if not self.heard:
                self.state = await asyncio.to_thread(self.load)
            self.ready.set()

    def load(self) -> dict[str, int]:
        """Return the application's state up to `last`, as a reloaded page would get it."""
        rows = self.instance.sql(
            "SELECT DISTINCT ON (topic) topic, data FROM live_event WHERE topic = ANY(%s) AND seq <= %s"
            " ORDER BY topic, seq DESC", self.topics, self.last,
        )  # fmt: skip
        return {topic: json.loads(data)["n"] for topic, data in rows}


async def hang_up_at_random(clients: list[Client]) -> None:
    while True:
        await asyncio.sleep(0.05)
        socket = random.choice(clients).socket
        if socket is not None:
            socket.transport.abort()


async def until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_two_hundred_clients_end_with_the_same_state_and_miss_nothing(instance):
    topics = [f"broadcast:{n}" for n in range(TOPICS)]
    clients = [Client(instance, random.sample(topics, 3)) for _ in range(CLIENTS)]
    running = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.wait_for(asyncio.gather(*[client.ready.wait() for client in clients]), 60)
    first = await asyncio.to_thread(instance.one, "SELECT coalesce(max(seq), 0) FROM live_position")

    chaos = asyncio.create_task(hang_up_at_random(clients))
    publishers = [Publisher(instance, n * CHANGES, CHANGES // 2, 0.005) for n in range(2)]
    await asyncio.sleep(5)
    await asyncio.to_thread(instance.valkey.stop)
    await asyncio.sleep(3)
    await asyncio.to_thread(instance.valkey.ensure)
    slowest = [await asyncio.to_thread(publisher.slowest) for publisher in publishers]
    chaos.cancel()
    rows = await asyncio.to_thread(instance.sql, "SELECT topic, seq, data FROM live_event WHERE seq > %s", first)
    assert len(rows) == CHANGES
    latest = {topic: seq for topic, seq, _ in sorted(rows, key=lambda row: row[1])}
    await until(lambda: all(client.last >= max(latest[topic] for topic in client.topics) for client in clients), 60)

    for task in running:
        assert not task.done()
        task.cancel()
    assert max(slowest) < 5
    truth = {(topic, seq): json.loads(data)["n"] for topic, seq, data in rows}
    for client in clients:
        assert client.state == {topic: truth[topic, latest[topic]] for topic in client.topics}
        complete = sorted(seq for topic, seq, _ in rows if topic in client.topics)
        assert client.heard == complete[len(complete) - len(client.heard) :]  # no gap since the last reload
        assert client.reloads or client.heard == complete
    assert sum(client.losses for client in clients) > 50
    print(f"losses {sum(c.losses for c in clients)}, reloads {sum(c.reloads for c in clients)}, slowest {slowest}")


@contextlib.contextmanager
def stopped(instance: Instance) -> Iterator[None]:
    instance.valkey.stop()
    try:
        yield
    finally:
        instance.valkey.ensure()


@contextlib.contextmanager
def paused(instance: Instance) -> Iterator[None]:
    process = instance.valkey.find()
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("breaking", [stopped, paused])
async def test_without_redis_writes_go_on_and_everything_arrives_within_seconds(instance, breaking):
    client = Client(instance, ["broadcast:1"])
    running = asyncio.create_task(client.run())
    await asyncio.wait_for(client.ready.wait(), 30)

    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, breaking(instance))
        slowest = await asyncio.to_thread(Publisher(instance, 1, 1).slowest)
        last = await asyncio.to_thread(instance.one, "SELECT max(id) FROM live_event")
        assert last
        await until(lambda: client.state.get("broadcast:1") == 1, 5)
    assert slowest < 1.5  # the write itself, and half a second for the hint
    await asyncio.to_thread(Publisher(instance, 11, 1).slowest)
    await until(lambda: client.state.get("broadcast:1") == 11, 5)

    running.cancel()
    assert client.losses == 0


async def test_a_killed_and_a_crashed_server_cost_nobody_a_message(instance):
    clients = [Client(instance, ["broadcast:1"]) for _ in range(20)]
    running = [asyncio.create_task(client.run()) for client in clients]
    await asyncio.wait_for(asyncio.gather(*[client.ready.wait() for client in clients]), 30)

    await asyncio.to_thread(instance.kill, "web")
    await asyncio.to_thread(Publisher(instance, 101, 1).slowest)
    await asyncio.to_thread(instance.start_web)
    await until(lambda: all(client.state["broadcast:1"] == 101 for client in clients), 45)
    await asyncio.to_thread(instance.crash_postgres)
    await asyncio.to_thread(Publisher(instance, 201, 1).slowest)
    await until(lambda: all(client.state["broadcast:1"] == 201 for client in clients), 45)

    for task in running:
        task.cancel()
    assert all(client.reloads == 0 for client in clients)


async def test_a_publisher_killed_between_commit_and_hint_is_heard(instance):
    client = Client(instance, ["broadcast:1"])
    running = asyncio.create_task(client.run())
    await asyncio.wait_for(client.ready.wait(), 30)

    code = PUBLISH.replace("from live.publish import publish", "import os, live.publish\n"
        "from live.publish import publish\n"
        "live.publish.send_hint = lambda: os.kill(os.getpid(), 9)")  # fmt: skip
    argv = [sys.executable, "-W", "ignore", "-c", code, "301", "1", "0"]
    died = await asyncio.to_thread(subprocess.run, argv, cwd=PROJECT, env=instance.env)

    assert died.returncode == -signal.SIGKILL
    await until(lambda: client.state.get("broadcast:1") == 301, 5)
    running.cancel()


async def test_a_revoked_user_is_out_within_a_minute(instance):
    async with connect(
        f"ws://127.0.0.1:{instance.port}/ws/notifications/", additional_headers={"Authorization": f"Token {KEY}"}
    ) as socket:
        await socket.send(json.dumps({"type": "subscribe", "topics": ["broadcasts"]}))
        await socket.recv()
        await asyncio.to_thread(instance.sql, "UPDATE auth_user SET is_active = false")

        with contextlib.suppress(WebSocketException):
            await asyncio.wait_for(socket.recv(), 60)

    await asyncio.to_thread(instance.sql, "UPDATE auth_user SET is_active = true")
    assert socket.close_code == 4401
