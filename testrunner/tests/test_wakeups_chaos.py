"""No message of the runner waits unacknowledged, however long its slots are busy."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from config.tests.instance import Instance, running_instance
from testrunner.tests.test_chaos import ENDLESS, QUEUE, QUICK

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
WAKE = "from testrunner.queue.claims import wake_worker\nfor number in range({number}): wake_worker(1)"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home", TESTRUN_STOP_SECONDS="1", TESTRUN_MAX_SECONDS="7200") as instance:
        yield instance


def queue(instance: Instance, environment: int, *texts: str) -> None:
    instance.shell(QUEUE.format(texts=texts, environment=environment))


def running(instance: Instance) -> int:
    return instance.one("SELECT count(*) FROM testrunner_testrun WHERE status = 'running'")


def succeeded(instance: Instance) -> int:
    return instance.one("SELECT count(*) FROM testrunner_testrun WHERE status = 'success'")


def cancel(instance: Instance) -> None:
    """Request cancellation of every run, as its page does."""
    asked = "cancel_requested_at = now(), cancel_requested_by_id = created_by_id"
    instance.sql(f"UPDATE testrunner_testrun SET {asked} WHERE status = 'running'")


def unacknowledged(instance: Instance) -> int:
    if instance.broker is None:
        return Redis(unix_socket_path=str(instance.valkey.socket)).hlen(f"{instance.env['CACHE_PREFIX']}:unacked")
    vhost = urlsplit(os.environ["CELERY_BROKER_URL"]).path[1:] or "/"
    listed = ["rabbitmqctl", "-q", "list_queues", "-p", vhost, "name", "messages_unacknowledged", "--no-table-headers"]
    lines = subprocess.check_output(listed, text=True).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("testruns"))


def test_while_both_slots_are_busy_no_message_waits_unacknowledged(instance):
    instance.start_runner()
    for environment in (1, 2):
        queue(instance, environment, ENDLESS)
    instance.wait_for(lambda: running(instance) == 2)

    instance.shell(WAKE.format(number=50))

    time.sleep(3)
    assert unacknowledged(instance) == 0
    queue(instance, 3, QUICK)
    cancel(instance)
    instance.wait_for(lambda: succeeded(instance) == 1)


@pytest.mark.skipif(
    os.environ.get("RABBITMQ_CONSUMER_TIMEOUT") != "60000",
    reason="needs RABBITMQ_CONSUMER_TIMEOUT=60000, and a RabbitMQ whose consumer_timeout is that",
)
def test_a_runner_outlives_the_consumer_timeout_with_both_slots_busy(instance):
    instance.start_runner()
    for environment in (1, 2):
        queue(instance, environment, ENDLESS)
    instance.wait_for(lambda: running(instance) == 2)
    first = instance.sql("SELECT id, lease_token, worker FROM testrunner_testrun ORDER BY id")

    for _ in range(20):  # RabbitMQ checks once a minute, so 60 s may become 120
        instance.shell(WAKE.format(number=3))
        time.sleep(8)

    assert running(instance) == 2
    assert instance.sql("SELECT id, lease_token, worker FROM testrunner_testrun ORDER BY id") == first
    queue(instance, 3, QUICK)
    cancel(instance)
    instance.wait_for(lambda: succeeded(instance) == 1)
    queue(instance, 4, QUICK)  # and new wake-ups arrive
    instance.wait_for(lambda: succeeded(instance) == 2)
