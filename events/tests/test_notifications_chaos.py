"""Notifications while workers are killed and the broker is away: every user is told once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

KILLS = 5
NUMBER = 600
# As if no wake-up had ever been sent.
STORE = """
    INSERT INTO events_notification (event_id, user_id, description, status, attempts, error)
    SELECT gen_random_uuid(), user_uuid, 'For ' || id, 'NotProcessed', 0, '' FROM chats_chat
"""
SEND = """
from chats.models import Chat
from events import services
for chat in Chat.objects.all()[:20]:
    services.send_notification(user_id=str(chat.user_uuid), description=f"For {chat.pk}")
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.manage("create_fake_chats", "--total", str(NUMBER), "-v0")
        instance.start_beat()
        yield instance


def told(instance: Instance) -> int:
    return instance.one("SELECT count(*) FROM events_notification WHERE status = 'Processed'")


def assert_told_once(instance: Instance, number: int) -> None:
    texts = [text for (text,) in instance.sql("SELECT own_text FROM chats_message WHERE own_text LIKE 'For %%'")]
    assert len(texts) == len(set(texts)) == number
    linked = "SELECT count(*) FROM events_notification n JOIN chats_message m ON m.id = n.message_id"
    assert instance.one(f"{linked} WHERE n.description = m.own_text") == number


def test_killed_workers_tell_everybody_once(instance: Instance):
    instance.sql(STORE)
    killed_at = []

    for _ in range(KILLS):
        before = told(instance)
        instance.start_worker()
        instance.wait_for(lambda before=before: told(instance) >= min(before + random.randint(1, 60), NUMBER))
        instance.kill("worker")
        killed_at.append(told(instance))

    instance.start_worker()
    instance.wait_for(lambda: told(instance) == NUMBER, 90)
    assert killed_at[2] < NUMBER, "the workers were too quick to be killed: this run has proved nothing"
    assert_told_once(instance, NUMBER)


def test_a_broker_that_is_away_delays_and_loses_nothing(instance: Instance):
    instance.start_worker()
    instance.stop_broker()
    instance.shell(SEND)  # each went on, though nobody could be woken
    assert instance.one("SELECT count(*) FROM events_notification") == 20

    instance.start_broker()

    instance.wait_for(lambda: told(instance) == 20)
    assert_told_once(instance, 20)
