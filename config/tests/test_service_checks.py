"""Parts that answer and cannot do their work: a Postgres or a Redis that takes no writes, a full disk."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from prometheus_client import REGISTRY
from redis import Redis

from config.local.embedded import Home
from config.local.embedded.valkey import Valkey
from config.monitoring import disk, service_checks
from config.monitoring.disk import StorageFull
from config.monitoring.service_checks import Unusable


def ask_the_database() -> str:
    """In a thread, as the health page does: the probe closes its thread's connection."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(service_checks.database).result()


@contextmanager
def read_only_database() -> Iterator[None]:
    """New sessions of the tests' database may not write meanwhile, as those of a standby."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_takes_no_writes_is_reported():
    assert ask_the_database() == "answers"

    with read_only_database(), pytest.raises(Unusable, match="read-only"):
        ask_the_database()

    assert ask_the_database() == "answers"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    home = Home(tmp_path / "home")
    home.prepare()
    server = Valkey(home, durable=False)
    server.ensure()
    yield server
    server.stop()


def test_a_redis_without_memory_is_reported(valkey: Valkey, settings):
    settings.REDIS_URL = valkey.url
    settings.REDIS_TIMEOUTS = {"socket_timeout": 1}
    assert service_checks.redis() == "answers"

    with Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")

        with pytest.raises(Exception, match=r"OOM|maxmemory"):
            service_checks.redis()


def test_the_broker_confirms_a_message():
    assert service_checks.broker().startswith("answers (")


def test_free_space_is_reported_by_folder(tmp_path: Path, settings):
    settings.MEDIA_ROOT, settings.TEST_UPLOADS_DIR = str(tmp_path / "media"), str(tmp_path / "uploads")

    assert disk.probe().startswith("media: ")
    assert list((tmp_path / "media").iterdir()) == []
    assert disk.free_bytes.labels("media")._value is not None
    assert REGISTRY.get_sample_value("opsroom_storage_free_bytes", {"folder": "media"}) > 0


@pytest.mark.parametrize("limit", ["LEAST_BYTES", "LEAST_INODES"])
def test_a_folder_with_little_room_is_reported(limit: str, tmp_path: Path, settings, monkeypatch):
    settings.MEDIA_ROOT, settings.TEST_UPLOADS_DIR = str(tmp_path / "media"), str(tmp_path / "uploads")
    assert "free" in disk.probe()

    monkeypatch.setattr(disk, limit, 2**62)

    with pytest.raises(StorageFull, match=r"media: .* free, .* needed"):
        disk.probe()


def test_a_folder_that_cannot_be_written_to_is_reported(tmp_path: Path, settings):
    settings.MEDIA_ROOT, settings.TEST_UPLOADS_DIR = str(tmp_path / "media"), str(tmp_path / "uploads")
    assert "free" in disk.probe()

    (tmp_path / "file").touch()
    settings.TEST_UPLOADS_DIR = str(tmp_path / "file" / "uploads")  # not a directory, for root as well

    with pytest.raises(OSError, match="Not a directory"):
        disk.probe()
