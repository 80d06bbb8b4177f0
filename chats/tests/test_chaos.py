"""The fan-out during failures of everything around it: real workers, a real Postgres, kill -9."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import requests

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

AUDIENCE = 200_000
KILLS = 50
COMPOSE = "from chats import services; services.compose(actor=None, text='To everybody')"
WAKE_TEN_TIMES = """
from chats.broadcasts import state_changes
from chats.models import Broadcast
from core.wake import wake
for _ in range(10):
    wake(state_changes.FAN_OUT, Broadcast.objects.get().pk)
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    # Small chunks cause many commits, so that every kill interrupts one.
    with running_instance(tmp_path / "home", BROADCAST_CHUNK="100", BROADCAST_WORKERS="6") as instance:
        yield instance


class Churn(threading.Thread):
    """Opens chats and deletes others during the fan-out, each in its own transaction."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.over = threading.Event()
        self.opened = 0
        self.deleted = 0
        self.deleted_messages = 0

    def run(self) -> None:
        while not self.over.wait(0.005):
            try:
                self._one_more()
            except psycopg2.Error:
                continue  # Postgres is being restarted

    def _one_more(self) -> None:
        with closing(psycopg2.connect(self.instance.dsn)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO chats_chat (user_uuid) VALUES (gen_random_uuid())")
            cursor.execute("SELECT id FROM chats_chat WHERE id = %s FOR UPDATE", [random.randint(1, AUDIENCE)])
            if chosen := cursor.fetchone():
                cursor.execute("DELETE FROM chats_message WHERE chat_id = %s", chosen)
                messages = cursor.rowcount
                cursor.execute("DELETE FROM chats_chat WHERE id = %s", chosen)
                connection.commit()
                self.deleted_messages += messages
                self.deleted += 1
            self.opened += 1


def test_fifty_kills_a_crash_of_postgres_and_ten_wake_ups_lose_and_double_nothing(instance: Instance):
    instance.manage("create_fake_chats", "--total", str(AUDIENCE), "-v0")
    for name in ("first", "second", "third"):
        instance.start_worker(name)
    instance.start_beat()
    instance.shell(COMPOSE)
    instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sending")
    churn = Churn(instance)
    churn.start()
    instance.shell(WAKE_TEN_TIMES)

    killed = kill_all_along(instance)

    instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sent", seconds=120)
    churn.over.set()
    churn.join(10)
    assert killed == KILLS
    assert churn.deleted > 0 and churn.opened > 0
    size, delivered, skipped = instance.sql("SELECT audience_size, delivered, skipped FROM chats_broadcast")[0]
    assert size == delivered + skipped == AUDIENCE
    # No chat is missed: every existing chat of the audience has a message. No chat opened later has one.
    unreached = "SELECT count(*) FROM chats_chat c WHERE {} (SELECT FROM chats_message m WHERE m.chat_id = c.id)"
    assert instance.one(unreached.format(f"c.id <= {AUDIENCE} AND NOT EXISTS")) == 0
    assert instance.one(unreached.format(f"c.id > {AUDIENCE} AND EXISTS")) == 0
    # No chat has two, and the counter is exact: each delivered message exists, or was deleted with its chat.
    messages = instance.one("SELECT count(*) FROM chats_message")
    assert messages == instance.one("SELECT count(DISTINCT chat_id) FROM chats_message")
    assert delivered == messages + churn.deleted_messages


def kill_all_along(instance: Instance) -> int:
    """Kill a worker's process after every fiftieth of the audience, and Postgres once at half the audience."""
    killed = 0
    while killed < KILLS:
        status, done = instance.sql("SELECT status, delivered + skipped FROM chats_broadcast")[0]
        if status != "sending":
            return killed
        if done * (KILLS + 5) < killed * AUDIENCE:
            time.sleep(0.02)
            continue
        if killed == KILLS // 2:
            instance.crash_postgres()
        if killed % 10 == 9:  # sometimes a whole worker
            name = random.choice(list(set(instance.processes) - {"beat"}))
            instance.kill(name)
            instance.start_worker(name)
        elif victims := [child for name in instance.processes if name != "beat" for child in instance.children(name)]:
            try:
                random.choice(victims).kill()
            except psutil.NoSuchProcess:
                continue
        killed += 1
    return killed


def token_of_somebody_who_may_send(instance: Instance) -> dict[str, str]:
    instance.shell(
        "from django.contrib.auth.models import User; from accounts.tokens import issue_token; "
        "issue_token(key='0' * 40, user=User.objects.create_superuser('mara'))"
    )
    return {"Authorization": f"Token {'0' * 40}"}


@pytest.mark.rabbitmq
def test_a_press_while_the_broker_is_away_is_queued_and_goes_out_when_it_is_back(instance: Instance):
    instance.manage("create_fake_chats", "--total", "500", "-v0")
    headers = token_of_somebody_who_may_send(instance)
    instance.start_web()
    instance.start_worker()
    instance.start_runner()
    instance.start_beat()
    instance.wait_for(lambda: requests.get(f"{instance.url}/health/", timeout=10).ok)

    instance.stop_broker()
    pressed = time.monotonic()
    answer = requests.post(f"{instance.url}/broadcasts/banner/", headers=headers, timeout=10)
    took = time.monotonic() - pressed

    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert took < 5
    instance.start_broker()
    instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sent")
    assert instance.one("SELECT count(*) FROM chats_message WHERE broadcast_id IS NOT NULL") == 500


def test_a_worker_that_dies_while_preparing_is_replaced(instance: Instance):
    instance.manage("create_fake_chats", "--total", "500", "-v0")
    instance.shell(COMPOSE)
    instance.sql("UPDATE chats_broadcast SET lease_until = now() + interval '2 seconds'")  # its worker died

    instance.start_worker()
    instance.start_beat()

    instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sent")


@pytest.mark.rabbitmq
def test_two_beats_are_harmless(instance: Instance):
    instance.manage("create_fake_chats", "--total", "500", "-v0")
    instance.start_worker()
    instance.start_beat()
    instance.processes["another beat"] = instance.processes.pop("beat")
    instance.start_beat()
    for _ in range(3):
        instance.shell(COMPOSE)

    instance.wait_for(lambda: instance.one("SELECT count(*) FROM chats_broadcast WHERE status = 'sent'") == 3)
    assert instance.one("SELECT count(*) FROM chats_message") == 1_500
