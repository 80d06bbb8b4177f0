"""Beat while Postgres is stopped or does not respond, at beat's start and while it runs."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
CHANGED = "UPDATE django_celery_beat_periodictasks SET last_update = now()"


class Beat:
    """A beat process of an instance without workers, so that its messages stay in the broker."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.instance.env["CELERY_BROKER_URL"] = f"redis+socket://{instance.valkey.socket}?virtual_host=0"
        self.redis = Redis(unix_socket_path=str(instance.valkey.socket))

    def start(self) -> None:
        self.instance.start_beat()

    @property
    def pid(self) -> int:
        return self.instance.processes["beat"].pid

    def is_running(self) -> bool:
        return self.instance.processes["beat"].poll() is None

    def waits(self) -> bool:
        """Return whether it has noticed that Postgres is unreachable."""
        return "schedule_waits_for_postgres" in Path(self.instance.log.name).read_text()

    def sent(self) -> int:
        return sum(int(self.redis.llen(key)) for key in self.redis.keys("*") if self.redis.type(key) == b"list")

    def sends_within(self, seconds: float) -> None:
        before = self.sent()
        self.instance.wait_for(lambda: self.sent() > before, seconds)


@pytest.fixture
def beat(tmp_path: Path) -> Iterator[Beat]:
    with running_instance(tmp_path / "home") as instance:
        yield Beat(instance)


def test_beat_waits_for_postgres_at_its_start(beat):
    beat.instance.postgres.stop()
    beat.start()
    beat.instance.wait_for(beat.waits)
    time.sleep(10)
    assert beat.is_running() and beat.sent() == 0

    beat.instance.postgres.ensure()

    beat.sends_within(20)
    assert beat.is_running()


def test_beat_that_waits_for_postgres_ends_when_asked(beat):
    beat.instance.postgres.stop()
    beat.start()
    beat.instance.wait_for(beat.waits)

    os.kill(beat.pid, signal.SIGTERM)

    assert beat.instance.processes["beat"].wait(5) == 0


@pytest.mark.parametrize("away", ["frozen", "crashed", "stopped"])
def test_beat_keeps_its_schedule_while_postgres_is_away_and_reads_it_again_afterwards(beat, away):
    beat.start()
    beat.sends_within(30)

    for _ in range(2):
        beat.instance.sql(CHANGED)  # so that the next tick reads the whole schedule
        if away == "frozen":
            with beat.instance.frozen_postgres():
                for _ in range(4):
                    beat.sends_within(20)
        elif away == "crashed":
            beat.instance.crash_postgres()
        else:
            beat.instance.postgres.stop()
            for _ in range(4):
                beat.sends_within(20)
            beat.instance.postgres.ensure()
        beat.sends_within(10)

    assert beat.is_running()
    beat.instance.sql("UPDATE django_celery_beat_periodictask SET enabled = false")
    beat.instance.sql(CHANGED)
    time.sleep(15)
    before = beat.sent()
    time.sleep(6)
    assert beat.sent() == before  # beat has read that all entries are disabled
