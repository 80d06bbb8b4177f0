"""How the runner receives its wake-ups: acknowledged at once, and no more of them kept than help anybody.

Celery acknowledges a message when a slot of its pool takes it. While every slot is busy with a run, for hours perhaps,
the next messages would wait unacknowledged: RabbitMQ closes the channel of a consumer that does not acknowledge within
its `consumer_timeout`. A wake-up need not wait. Its row is in Postgres, each slot looks for the next run itself when
it has ended one (testrunner/worker/runner.py), and the sweeper wakes again. So

1. each wake-up is acknowledged when it arrives;
2. as many as there are slots may wait for one. They cover the moment between a slot's last look and its end;
3. what is more is dropped.
"""

from __future__ import annotations

from typing import Any

from celery import Task
from celery.utils.log import get_task_logger
from celery.worker import state
from celery.worker.strategy import default

log = get_task_logger(__name__)


def at_once(task: Any, app: Any, consumer: Any, **options: Any) -> Any:
    """A strategy for Celery's consumer (`Task.Strategy`)."""
    handle = default(task, app, consumer, **options)

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        ack(log, consumer.connection_errors)
        if len(state.reserved_requests) >= 2 * consumer.pool.num_processes:  # running or waiting
            return None
        return handle(message, body, _is_done, _is_done, callbacks, **more)

    return on_message


class WakeUp(Task):
    """A task whose messages are received like this."""

    abstract = True
    Strategy = f"{__name__}:{at_once.__name__}"


def _is_done(*_: Any) -> None:
    """In the place of an acknowledgement, or a refusal."""
