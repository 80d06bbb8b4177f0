"""The client's address behind no proxy, one and two, whatever the client itself writes into the header."""

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User

from config.tests.test_safety import refusal
from config.tests.web_process import Web, forwarding_proxy, web_process
from core.http.client_ip import address_of, client_address

OWNER, ATTACKER = "127.0.0.2", "127.0.0.3"  # two loopback addresses, so that they connect from different ones
PROXIES = ["127.0.0.4", "127.0.0.5"]
FORGED = ["203.0.113.1", "203.0.113.1, 127.0.0.2", "127.0.0.2, 127.0.0.2, 127.0.0.2", "unknown", ",,,", "[", "::1"]


# --- Parsing the header ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "header, proxies, expected",
    [
        ("", 0, "10.0.0.1"),
        ("203.0.113.1", 0, "10.0.0.1"),
        ("203.0.113.1", 1, "203.0.113.1"),
        ("198.51.100.9, 203.0.113.1", 1, "203.0.113.1"),
        ("198.51.100.9, 203.0.113.1", 2, "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9,203.0.113.1", 2, "198.51.100.9"),
        ("203.0.113.1", 2, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("203.0.113.1, ", 1, "10.0.0.1"),
        ("203.0.113.1, unknown", 1, "10.0.0.1"),
        ("203.0.113.1, _hidden", 1, "10.0.0.1"),
        ("203.0.113.1:4711", 1, "203.0.113.1"),
        ("[2001:DB8::1]:443", 1, "2001:db8::1"),
        ("2001:db8:0:0::1", 1, "2001:db8::1"),
        ("fe80::1%eth0", 1, "fe80::1"),
        ("::ffff:203.0.113.1", 1, "203.0.113.1"),
        ('"203.0.113.1"', 1, "203.0.113.1"),
        ("203.0.113.1 OR 1=1", 1, "10.0.0.1"),
        ("x" * 60_000, 1, "10.0.0.1"),
    ],
)
def test_the_entry_of_the_outermost_proxy_counts_else_the_peer(header, proxies, expected):
    assert address_of("10.0.0.1", header.split(","), proxies=proxies) == expected


def test_several_header_lines_count_as_one_list(rf, settings):
    settings.PROXY_COUNT = 2
    request = rf.get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.9,203.0.113.1")

    assert client_address(request) == "198.51.100.9"


def test_a_peer_without_an_address_has_none():
    assert address_of(None, [""], proxies=0) is None
    assert address_of("", ["203.0.113.1"], proxies=1) == "203.0.113.1"


@pytest.mark.parametrize("count", ["-1", "11"])
def test_an_impossible_number_of_proxies_is_refused(count):
    assert f"PROXY_COUNT must be a whole number from 0 to 10: {count}" in refusal(PROXY_COUNT=count)


# --- Over HTTP ---------------------------------------------------------------------------------------
@contextlib.contextmanager
def behind_proxies(folder: Path, count: int) -> Iterator[tuple[Web, int]]:
    """Run a web process behind real proxies; yield it and the port for clients."""
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(web_process(folder, PROXY_COUNT=str(count)))
        port = web.port
        for source in PROXIES[:count]:
            port = stack.enter_context(forwarding_proxy(port, source))
        yield web, port


def send(port: int, source: str, method: str, path: str, body: object = None, forged: list[str] | None = None) -> int:
    """Send one request from a loopback address, with forged X-Forwarded-For lines; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, source_address=(source, 0), timeout=30)
    content = json.dumps(body).encode() if body is not None else b""
    connection.putrequest(method, path)
    for line in forged or []:
        connection.putheader("X-Forwarded-For", line)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def addresses_in(log: str, path: str) -> set[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    lines = [line for line in plain.splitlines() if path in line and "ip=" in line]
    return {match[1] for line in lines if (match := re.search(r"\bip=(\S+)", line))}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("count", [0, pytest.param(1, marks=pytest.mark.thorough), 2])
def test_an_attacker_locks_only_their_own_address_out_and_cannot_forge_it(count, tmp_path):
    # A hash that the web process supports, which does not have the tests' fast hasher.
    User.objects.create(username="olga", password=PBKDF2PasswordHasher().encode("correct horse", "salt", iterations=1))
    wrong, right = ({"username": "olga", "password": word} for word in ("wrong", "correct horse"))

    with behind_proxies(tmp_path, count) as (web, port):
        guesses = [send(port, ATTACKER, "POST", "/auth/token/", wrong, [forged]) for forged in FORGED]
        locked = send(port, ATTACKER, "POST", "/auth/token/", right, ["203.0.113.99", OWNER])
        owner = send(port, OWNER, "POST", "/auth/token/", right)
        send(port, ATTACKER, "GET", "/no-such-page/", None, [OWNER, "203.0.113.99"])
        logged = addresses_in(web.log(), "/no-such-page/")

    assert guesses == [400] * 4 + [429] * 3
    assert (locked, owner) == (429, 200)
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {ATTACKER}
    assert logged == {ATTACKER}
