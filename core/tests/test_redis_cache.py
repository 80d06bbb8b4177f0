"""The cache while Redis is unreachable: slower, but without errors."""

import socket

import pytest

from core.redis_cache import ForgivingRedisCache


@pytest.fixture
def away() -> ForgivingRedisCache:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobodys_port = server.getsockname()[1]
    return ForgivingRedisCache(f"redis://127.0.0.1:{nobodys_port}/0", {"OPTIONS": {"socket_connect_timeout": 1}})


def test_reading_is_a_miss(away):
    assert away.get("key") is None
    assert away.get("key", "default") == "default"
    assert away.get_many(["a", "b"]) == {}
    assert away.has_key("key") is False


def test_writing_is_forgotten(away):
    away.set("key", 1)
    assert away.set_many({"a": 1}) == ["a"]
    assert away.delete("key") is False
    assert away.touch("key") is False
    away.clear()


def test_something_done_once_in_a_while_is_done_rather_than_not(away):
    assert away.add("key", 1) is True
    assert away.incr("key") == 1
