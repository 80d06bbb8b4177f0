"""Reception of wake-up messages by the worker: acknowledged at once, and dropped if there are more than useful.

By default, Celery acknowledges a message when a slot of its pool takes it. While every slot is busy with a run, maybe
for hours, the next messages would wait unacknowledged. RabbitMQ closes the channel of a consumer that does not
acknowledge within its `consumer_timeout`. A wake-up does not need to wait: its row is in Postgres, each slot looks for
the next run itself after each run (testrunner/worker/runner.py), and the sweeper repeats wake-ups. Therefore:

1. Each wake-up is acknowledged when it arrives.
2. As many wake-ups as there are slots may wait. They cover the moment between a slot's last query and its end.
3. All others are dropped.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.utils.log import get_task_logger
from celery.worker import state
from celery.worker.strategy import default

log = get_task_logger(__name__)


def acknowledge_at_once(task: Any, app: Any, consumer: Any, **options: Any) -> Any:
    """Message handling strategy for Celery's consumer (`Task.Strategy`)."""
    handle = default(task, app, consumer, **options)

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        ack(log, consumer.connection_errors)
        if len(state.reserved_requests) >= 2 * consumer.pool.num_processes:  # running or waiting
            return None
        return handle(message, body, _already_acknowledged, _already_acknowledged, callbacks, **more)

    return on_message


class WakeUp(Task):
    """Base class of tasks whose messages are received in this way."""

    abstract = True
    Strategy = f"{__name__}:{acknowledge_at_once.__name__}"


def _already_acknowledged(*_: Any) -> None:
    """Replaces acknowledge and reject, because the message is already acknowledged."""
