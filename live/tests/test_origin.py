"""From which pages a browser may open the WebSocket with its cookies."""

import pytest
from channels.db import database_sync_to_async

from live.origin import origin_allowed
from live.tests.conftest import headers

HOST = "opsroom.example.com"


@pytest.fixture(autouse=True)
def _hosts(settings) -> None:
    settings.ALLOWED_HOSTS = [HOST, f"{HOST}:8000"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://desk.example.com", "https://*.trusted.example.com"]


def handshake(**more: str) -> dict:
    given = {"host": HOST} | more
    return {"scheme": "ws", "headers": [(name.encode(), value.encode()) for name, value in given.items()]}


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (f"http://{HOST}", HOST, True),
        (f"http://{HOST}:8000", f"{HOST}:8000", True),
        ("http://OPSROOM.example.com", HOST, True),
        ("https://desk.example.com", HOST, True),
        ("https://a.trusted.example.com", HOST, True),
        ("null", HOST, False),
        ("", HOST, False),
        ("http://evil.example.com", HOST, False),
        (f"https://{HOST}", HOST, False),  # our host, another scheme
        (f"ws://{HOST}", HOST, False),
        (f"http://{HOST}:8001", HOST, False),
        (f"http://{HOST}", f"{HOST}:8000", False),
        (f"http://{HOST}.evil.com", HOST, False),
        (f"http://evil-{HOST}", HOST, False),
        (f"http://{HOST}@evil.com", HOST, False),
        (f"http://{HOST}/", HOST, False),
        (f"http://{HOST}, http://evil.com", HOST, False),
        ("http://desk.example.com", HOST, False),
        ("https://desk.example.com.evil.com", HOST, False),
        ("https://trusted.example.com.evil.com", HOST, False),
        ("http://a.trusted.example.com", HOST, False),
        ("http://[", HOST, False),
        ("http://evil.com", "evil.com", False),  # DNS rebinding: the host is not ours either
    ],
)
def test_only_our_own_pages_and_trusted_ones_may_connect(origin, host, allowed):
    assert origin_allowed(handshake(origin=origin, host=host), without=True) is allowed


def test_without_an_origin_only_who_needs_none_may_connect():
    assert not origin_allowed(handshake(), without=False)
    assert origin_allowed(handshake(), without=True)


def test_two_origins_or_hosts_are_none():
    for name in ("origin", "host"):
        twice = handshake(origin=f"http://{HOST}")
        twice["headers"].append((name.encode(), f"http://{HOST}".encode()))
        assert not origin_allowed(twice, without=True)


def test_behind_a_trusted_proxy_its_word_on_https_counts(settings):
    forwarded = {"origin": f"https://{HOST}", "x-forwarded-proto": "https"}
    assert not origin_allowed(handshake(**forwarded), without=True)

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert origin_allowed(handshake(**forwarded), without=True)


@pytest.mark.django_db(transaction=True)
async def test_a_foreign_page_is_refused_before_anything_is_accepted(connect, viewer):
    given = await database_sync_to_async(headers)(viewer, host=HOST, origin="http://evil.com")
    socket = await connect(given=given)

    assert not socket.accepted
