"""Login attempts have bounded cost: bounded bodies, few at a time, and an allowance of failures."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio
import requests
from axes.models import AccessAttempt
from django.conf.global_settings import PASSWORD_HASHERS
from django.contrib.auth.hashers import make_password
from django.test import Client

from config.server import login_throttle
from config.server.fair_queue import AttemptLimit
from config.server.login_throttle import LoginThrottle
from config.tests.serving import Peer, Server, connect, serving, until
from config.tests.web_process import web_process
from core.http.client_ip import network_of

BODY = b'{"username": "vic", "password": "wrong"}'


class Checks:
    """Replaces Django: counts concurrent logins, and responds when `open` is set."""

    def __init__(self) -> None:
        self.within = self.most = self.asked = 0
        self.open = asyncio.Event()
        self.status = 400
        self.from_whom: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        self.within, self.asked = self.within + 1, self.asked + 1
        self.most = max(self.most, self.within)
        self.from_whom.append(scope["client"][0])
        body = (await receive())["body"]
        await self.open.wait()
        self.within -= 1
        head = {
            "type": "http.response.start",
            "status": self.status,
            "headers": [(b"content-length", b"%d" % len(body))],
        }
        await send(head)
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def checks(monkeypatch) -> Checks:
    monkeypatch.setattr(login_throttle, "MAX_CONCURRENT", 2)
    return Checks()


@pytest_asyncio.fixture
async def server(checks: Checks) -> AsyncIterator[Server]:
    door = LoginThrottle(checks)

    async def application(scope, receive, send) -> None:
        assert LoginThrottle.handles(scope)
        await door(scope, receive, send)

    async with serving(application) as server:
        yield server
        checks.open.set()


async def log_in(server: Server, address: str = "127.0.0.1", path: str = "/auth/token/", body: bytes = BODY) -> Peer:
    peer = await connect(server, address)
    peer.send(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
    return peer


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


@pytest.mark.parametrize("path", ["/auth/token/", "/auth/token", "/admin/login/", "/admin/password_change/"])
def test_whatever_checks_a_password_leads_through_the_door(path):
    assert LoginThrottle.handles({"path": path, "method": "POST"})
    assert not LoginThrottle.handles({"path": path, "method": "GET"})


async def test_few_are_checked_at_a_time_and_all_get_their_turn(server, checks):
    peers = [await log_in(server) for _ in range(12)]
    await until(lambda: checks.within == 2)

    checks.open.set()
    answers = [await peer.answer() for peer in peers]

    assert checks.most == 2 and all(status_of(answer) == 400 and answer.endswith(BODY) for answer in answers)


async def test_addresses_take_queue_however_many_wait_of_one(server, checks):
    peers = [await log_in(server) for _ in range(20)]
    await until(lambda: checks.within == 2)
    await asyncio.sleep(0.2)  # the others wait

    other = await log_in(server, "127.0.0.2")
    await asyncio.sleep(0.2)
    checks.open.set()

    assert status_of(await other.answer()) == 400
    await asyncio.gather(*(peer.answer() for peer in peers))
    assert checks.from_whom.index("127.0.0.2") <= 4


async def test_where_too_many_wait_of_one_address_it_is_429_and_others_still_wait(server, checks):
    peers = [await log_in(server) for _ in range(2 + login_throttle.MAX_WAITING_PER_ADDRESS)]
    await until(lambda: checks.within == 2)
    await asyncio.sleep(0.3)

    refused = await (await log_in(server)).answer()
    other = await log_in(server, "127.0.0.2")
    await asyncio.sleep(0.2)
    checks.open.set()

    assert status_of(refused) == 429 and b"retry-after: 5" in refused
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["status"] == 429
    assert status_of(await other.answer()) == 400
    await asyncio.gather(*(peer.answer() for peer in peers))


async def test_who_waits_too_long_is_429(server, checks, monkeypatch):
    monkeypatch.setattr(login_throttle, "QUEUE_TIMEOUT", 0.2)
    for _ in range(2):
        await log_in(server)
    await until(lambda: checks.within == 2)

    assert status_of(await (await log_in(server)).answer()) == 429


async def test_a_client_that_goes_while_it_waits_costs_no_check(server, checks):
    for _ in range(2):
        await log_in(server)
    await until(lambda: checks.within == 2)
    for _ in range(5):
        (await log_in(server)).close()
    last = await log_in(server, "127.0.0.2")
    await asyncio.sleep(0.3)

    checks.open.set()

    assert status_of(await last.answer()) == 400
    await until(lambda: server.connections == 3)
    assert checks.asked == 3


async def test_failures_use_up_the_attempts_of_their_address_alone(server, checks):
    checks.open.set()
    for _ in range(login_throttle.MAX_ATTEMPTS):
        assert status_of(await (await log_in(server)).answer()) == 400

    refused = await (await log_in(server, path="/admin/login/")).answer()

    assert status_of(refused) == 429 and b"retry-after: " in refused and b"<html" in refused
    assert status_of(await (await log_in(server, "127.0.0.2")).answer()) == 400


async def test_logins_that_succeed_use_up_nothing(server, checks):
    checks.open.set()
    checks.status = 200

    for _ in range(login_throttle.MAX_ATTEMPTS + 5):
        assert status_of(await (await log_in(server)).answer()) == 200


@pytest.mark.parametrize("head", [b"Content-Length: 5000000", b"Transfer-Encoding: chunked"])
async def test_a_body_of_more_than_16_kib_is_413(server, checks, head):
    peer = await connect(server)
    peer.send(
        b"POST /auth/token/ HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n4e20\r\n" + b"x" * 20_000 + b"\r\n0\r\n\r\n"
    )

    assert status_of(await peer.answer()) == 413 and checks.asked == 0


async def test_a_body_that_does_not_come_has_no_turn_and_is_408(server, checks, monkeypatch):
    monkeypatch.setattr(login_throttle, "BODY_TIMEOUT", 0.3)
    checks.open.set()
    slow = []
    for _ in range(5):
        slow.append(await connect(server))
        slow[-1].send(b"POST /auth/token/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nbegun")

    assert status_of(await (await log_in(server)).answer()) == 400
    assert [status_of(await peer.answer()) for peer in slow] == [408] * 5


def test_tries_come_back_one_by_one():
    allowance = AttemptLimit(3, 2.0, most_known=2)
    for _ in range(3):
        allowance.use("a", 0.0)

    assert allowance.wait("a", 0.0) == 2.0 and allowance.wait("a", 1.5) == 0.5 and allowance.wait("a", 2.0) == 0.0
    assert allowance.wait("b", 0.0) == 0.0


def test_an_ipv6_network_is_one_client():
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == "fe80::" and network_of("192.0.2.1") == "192.0.2.1" and network_of("") == ""


# --- With Django -------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/auth/token/"])
@pytest.mark.parametrize("name", ["x" * 100_000, "a\0b" * 300, "ž" * 9_000])
def test_no_name_is_an_error_of_the_server(path, name):
    client = Client(raise_request_exception=False)

    answer = client.post(path, {"username": name, "password": "x"})

    assert answer.status_code in (200, 400)
    assert all(len(attempt.username) <= 255 for attempt in AccessAttempt.objects.all())


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/auth/token/"])
@pytest.mark.parametrize("charset", ["base64", "utf-7", "idna", "no-such-charset", "utf-16"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_no_charset_is_an_error_of_the_server(path, charset, kind):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\nx\r\n--b--\r\n'
        if "b=" in kind
        else b"username=x"
    )

    answer = Client(raise_request_exception=False).generic(
        "POST", path, body, content_type=f"{kind}; charset={charset}"
    )

    assert answer.status_code < 500


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_a_hundred_wrong_logins_at_once_keep_nobody_else_out(tmp_path, viewer, settings):
    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    viewer.password = make_password("correct horse")  # as in production: half a second per check
    viewer.save()

    with web_process(tmp_path) as web, ThreadPoolExecutor(101) as pool:
        wrong = [pool.submit(post, web.url, "127.0.0.3", f"no-{n}", "wrong") for n in range(100)]
        pings = [requests.get(f"{web.url}/ping/", timeout=10).status_code for _ in range(10)]
        mine = post(web.url, "127.0.0.2", "vic", "correct horse")
        statuses = [one.result() for one in wrong]

    assert pings == [200] * 10 and mine == 200
    assert set(statuses) == {400, 429}


def post(url: str, address: str, name: str, password: str) -> int:
    with contextlib.closing(requests.Session()) as session:
        session.get_adapter(url).init_poolmanager(1, 1, source_address=(address, 0))
        return session.post(f"{url}/auth/token/", {"username": name, "password": password}, timeout=60).status_code
