"""Celery: queues and limits. Messages only wake workers; the database rows are authoritative.

Each app registers its schedule and the queues of its tasks (core/registry.py).

This explains the choices: JSON only, no results, early acknowledgement (sweepers find a killed worker's work within
seconds, not after a broker's visibility timeout), one prefetched message, and short timeouts, so that an unreachable
broker is detected instead of waited for.
"""

import os
import warnings
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging
from django.dispatch import receiver
from django_structlog.celery.signals import bind_extra_task_metadata
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu import Exchange, Queue

from core.registry import beat_schedule, queue_of

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Celery warns the root user at length about pickled messages; ours are JSON, and CI and containers run as root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("opsroom")
app.config_from_object("django.conf:settings", namespace="CELERY")


def _queue(name: str) -> Queue:
    """Return a queue with its own exchange and routing key: with Celery's defaults, every queue gets every message.

    RabbitMQ recommends quorum queues. They make Celery use per-consumer prefetch, which RabbitMQ 4 requires. Other
    brokers ignore the argument.
    """
    return Queue(name, Exchange(name), routing_key=name, queue_arguments={"x-queue-type": "quorum"})


app.conf.update(
    task_queues=[_queue(name) for name in ("default", "broadcasts", "events", "testruns")],
    task_default_queue="default",
    task_create_missing_queues=False,
    task_routes=(queue_of,),
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    worker_consumer="config.processes.consumer:SteadyConsumer",
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=1_000,
    worker_enable_remote_control=False,  # not used, and RabbitMQ 4 refuses its kind of queues
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=5,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # work belongs to the rows, not to the messages
    task_time_limit=90,  # no soft limits: core/bounded_tasks.py explains why
    broker_connection_timeout=2,
    broker_pool_acquire_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,  # reopen a channel that the broker closed, like a connection
    broker_connection_max_retries=None,  # a worker waits for its broker without limit
    task_publish_retry=True,  # once, because a pooled connection may be stale
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    timezone="UTC",
    beat_max_loop_interval=5,
)
if str(app.conf.broker_url).startswith("redis"):
    app.conf.broker_transport_options = {
        "socket_timeout": 3,  # several in a row must stay below the watchdog's PROGRESS_TIMEOUT
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": os.environ.get("CACHE_PREFIX", "opsroom") + ":",
    }
else:
    # While RabbitMQ has a memory or disk alarm it neither confirms messages nor answers a close, so a publishing thread
    # would wait until the alarm ends. Consumers read without blocking and are not affected by these timeouts.
    app.conf.broker_transport_options = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
    app.conf.broker_heartbeat = 10

app.conf.beat_schedule = beat_schedule
app.steps["worker"].add(DjangoStructLogInitStep)
app.steps["worker"].add("config.processes.worker_progress:ProgressStep")
app.autodiscover_tasks()


@receiver(bind_extra_task_metadata)
def _name_the_task(task: Any, **_: Any) -> None:
    """Add the task's name to every log line of the task, including the one about its end."""
    structlog.contextvars.bind_contextvars(task=task.name)


@setup_logging.connect
def _leave_logging_to_django(**_: Any) -> None:
    """Do nothing. A connected receiver keeps Celery from configuring logging."""
