"""An idle service with real processes: which lines it logs, and which queues it declares."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import amqp.exceptions
import pytest
from kombu import Connection

from config.tests.instance import Instance, running_instance
from core.registry import periodic_tasks

pytestmark = [pytest.mark.chaos, pytest.mark.rabbitmq, pytest.mark.timeout(300)]
RABBITMQ = os.environ.get("CELERY_BROKER_URL", "").startswith("amqp")
SERVED = {"ALLOWED_HOSTS": "localhost", "BANNER_API_URL": "https://example.com/photos/"}
SOON = """
from datetime import timedelta
from django.utils import timezone
from chats import services
services.compose(actor=None, text='Later', send_at=timezone.now() + timedelta(seconds=1))
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Return an instance that has sent a scheduled broadcast: one periodic task and two tasks that it caused."""
    with running_instance(tmp_path_factory.mktemp("idle") / "home", **SERVED) as instance:
        instance.manage("create_fake_chats", "--total", "10", "-v0")
        instance.shell(SOON)
        instance.env |= {"OPSROOM_LOCAL": "0"}  # JSON lines, as in a container
        instance.start_worker()
        instance.start_beat()
        instance.wait_for(lambda: instance.one("SELECT status FROM chats_broadcast") == "sent")
        yield instance


def logged_tasks(instance: Instance) -> set[str]:
    lines = [line for line in Path(instance.log.name).read_text().splitlines() if line.startswith("{")]
    found = [json.loads(line) for line in lines]
    return {one.get("child_task_name") or one["task"] for one in found if str(one["event"]).startswith("task_")}


def test_the_log_has_the_tasks_that_somebody_caused_and_not_the_periodic_ones(instance: Instance):
    instance.wait_for(lambda: "chats.tasks.fan_out_broadcast" in logged_tasks(instance))

    assert logged_tasks(instance) & periodic_tasks() == set()


@pytest.mark.skipif(not RABBITMQ, reason="Only RabbitMQ has queues to declare.")
def test_a_worker_declares_no_queue_for_delayed_delivery(instance: Instance):
    with Connection(instance.env["CELERY_BROKER_URL"]) as connection:
        assert is_declared(connection, "broadcasts")
        assert not is_declared(connection, "celery_delayed_27")


def is_declared(connection: Connection, queue: str) -> bool:
    try:
        connection.channel().queue_declare(queue, passive=True)
    except amqp.exceptions.NotFound:
        return False
    return True
