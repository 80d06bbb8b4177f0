"""The Python client against a real Opsroom whose web process is killed: everything arrives, and once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opsroom_events import Client

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

KILLS = 8


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.shell("from events.factories import WriteKeyFactory; WriteKeyFactory(secret='wk_shop')")
        instance.start_web()
        yield instance


@pytest.fixture
def client(instance: Instance) -> Iterator[Client]:
    client = Client(instance.url, "wk_shop", max_age=0.01)
    yield client
    client.close(timeout=0.1)


def test_a_web_process_that_is_killed_loses_and_doubles_nothing(instance: Instance, client: Client, monkeypatch):
    monkeypatch.setattr("opsroom_events.client.MAX_PAUSE", 0.5)
    ids, over = [], threading.Event()

    def track() -> None:
        while not over.wait(random.uniform(0, 0.01)):
            ids.append(client.track("session-1", "page interaction", "pageview", {"number": len(ids)}))

    tracking = threading.Thread(target=track)
    tracking.start()
    try:
        for _ in range(KILLS):
            accepted = client.stats.accepted
            instance.wait_for(lambda accepted=accepted: client.stats.accepted > accepted + 50)
            instance.kill("web")
            instance.start_web()
    finally:
        over.set()
        tracking.join()

    assert client.flush(60)
    stored = [str(event_id) for (event_id,) in instance.sql("SELECT event_id FROM events_event")]
    assert None not in ids
    assert sorted(stored) == sorted(ids)
    assert client.stats.accepted + client.stats.duplicates == len(ids)
    assert client.stats.retries >= KILLS
