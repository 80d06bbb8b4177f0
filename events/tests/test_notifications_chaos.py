"""Notifications while workers are killed and the broker is away: every user is told once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

KILLS = 30
SEND = """
from chats.models import Chat
from events import services
for chat in Chat.objects.order_by("id")[{first}:{last}]:
    services.send_notification(user_id=str(chat.user_uuid), description=f"For {{chat.pk}}")
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.manage("create_fake_chats", "--total", "1000", "-v0")
        instance.start_beat()
        yield instance


def is_all_told(instance: Instance) -> bool:
    return instance.one("SELECT count(*) FROM events_notification WHERE status <> 'Processed'") == 0


def assert_told_once(instance: Instance, number: int) -> None:
    texts = [text for (text,) in instance.sql("SELECT own_text FROM chats_message WHERE own_text LIKE 'For %%'")]
    assert len(texts) == len(set(texts)) == number
    stray = "SELECT count(*) FROM events_notification n JOIN chats_message m ON m.id = n.message_id"
    assert instance.one(stray + " WHERE n.description = m.own_text") == number


def test_killed_workers_tell_everybody_once(instance: Instance):
    instance.shell(SEND.format(first=0, last=1000))
    instance.start_worker()
    killed = 0

    while killed < KILLS and not is_all_told(instance):
        for child in random.sample(instance.children("worker"), k=min(1, len(instance.children("worker")))):
            try:
                child.kill()
                killed += 1
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs([], timeout=0.05)

    assert killed >= 3, "the workers were too quick to be killed: this run has proved nothing"
    instance.wait_for(lambda: is_all_told(instance), 120)
    assert_told_once(instance, 1000)


def test_a_broker_that_is_away_delays_and_loses_nothing(instance: Instance):
    instance.start_worker()
    instance.stop_broker()
    instance.shell(SEND.format(first=0, last=20))  # each request went on, though nobody could be woken
    assert instance.one("SELECT count(*) FROM events_notification") == 20

    instance.start_broker()

    instance.wait_for(lambda: is_all_told(instance))
    assert_told_once(instance, 20)
