"""WebSocket fixtures: the whole application, called in the same way as uvicorn calls it."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.routing import get_default_application
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.test import Client

from accounts.tokens import issue_token
from live import hub as hub_module
from live import publish as publish_module

ORIGIN, HOST = b"http://testserver", b"testserver"
PATIENCE = 5.0  # seconds; only a failing test waits that long


class Socket(WebsocketCommunicator):
    """Client that sends and receives JSON."""

    async def say(self, **message: Any) -> None:
        await self.send_to(text_data=json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        return json.loads(await self.receive_from(timeout=PATIENCE))

    async def hear_all(self, number: int) -> list[dict[str, Any]]:
        return [await self.hear() for _ in range(number)]

    async def subscribe(self, *topics: str, since: int | None = None) -> dict[str, Any]:
        await self.say(type="subscribe", topics=topics, **({} if since is None else {"since": since}))
        return await self.hear()

    async def close_code(self) -> int:
        while (output := await self.receive_output(PATIENCE))["type"] != "websocket.close":
            pass
        return output["code"]


@database_sync_to_async
def publish(topic: str, type: str, data: dict[str, Any]) -> None:
    publish_module.publish(topic, type, data)


@database_sync_to_async
def publish_numbers(topic: str, count: int) -> None:
    publish_module.publish_many([(topic, "numbered", {"n": n}) for n in range(count)])


def cookie_of(user: User) -> bytes:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


def headers(user: User, **more: str) -> list[tuple[bytes, bytes]]:
    """Return the handshake headers of the user's browser on a page of this site."""
    given = {"host": HOST, "origin": ORIGIN, "cookie": cookie_of(user)} | {k: v.encode() for k, v in more.items()}
    return [(name.encode(), value) for name, value in given.items()]


def _watcher(name: str) -> User:
    """Return a user with view_broadcast, by a new group: a transactional test's flush deletes those of migrations."""
    user = User.objects.create_user(name)
    group, _ = Group.objects.get_or_create(name="watchers")
    group.permissions.set(Permission.objects.filter(codename="view_broadcast"))
    user.groups.add(group)
    return user


@pytest.fixture
def viewer(transactional_db) -> User:
    return _watcher("vic")


@pytest.fixture
def marketer(transactional_db) -> User:
    return _watcher("mara")


@pytest_asyncio.fixture
async def hub(transactional_db) -> AsyncIterator[hub_module.Hub]:
    yield hub_module.get_hub()
    await hub_module.get_hub().close()
    await sync_to_async(connections.close_all)()
    for thread in threading.enumerate():
        if thread.name.startswith("live"):
            await asyncio.to_thread(thread.join)


@pytest_asyncio.fixture
async def connect(hub) -> AsyncIterator[Callable[..., Any]]:
    """Return a function that opens a socket as a user or with given headers; all are closed after the test."""
    opened: list[Socket] = []

    async def _connect(
        user: User | None = None, *, given: list[tuple[bytes, bytes]] | None = None, query: str = "", **more: Any
    ) -> Socket:
        if given is None:
            given = await database_sync_to_async(headers)(user)
        socket = Socket(get_default_application(), f"/ws/notifications/{query}", headers=given, **more)
        opened.append(socket)
        socket.accepted, socket.answer = await socket.connect(timeout=PATIENCE)
        return socket

    yield _connect
    for socket in opened:
        with contextlib.suppress(asyncio.CancelledError):
            await socket.disconnect(timeout=PATIENCE)


@pytest.fixture
def token(viewer: User) -> str:
    return issue_token(user=viewer)[1]
