"""Celery: queues, limits and the schedule. Messages only wake somebody up; the rows are the truth.

Hence the choices here: JSON only, no results, a message acknowledged early (what a killed worker left behind is
found by the sweepers, in seconds, not after a broker's visibility timeout), one message prefetched, and timeouts
short enough that a broker which is away is noticed rather than waited for.
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

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Celery warns a root user at length of pickled messages; ours are JSON, and CI and containers are root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("opsroom")
app.config_from_object("django.conf:settings", namespace="CELERY")


def _queue(name: str) -> Queue:
    """A queue with an exchange and a key of its own: with Celery's defaults, every queue would get every message.

    Quorum queues are the kind RabbitMQ keeps recommending, and make Celery use per-consumer prefetch, which
    RabbitMQ 4 insists on. Other brokers ignore the argument.
    """
    return Queue(name, Exchange(name), routing_key=name, queue_arguments={"x-queue-type": "quorum"})


app.conf.update(
    task_queues=[_queue(name) for name in ("default", "broadcasts", "events", "testruns")],
    task_default_queue="default",
    task_create_missing_queues=False,
    task_routes={
        "chats.tasks.prepare_broadcast": {"queue": "broadcasts"},
        "chats.tasks.fan_out_broadcast": {"queue": "broadcasts"},
        "events.tasks.digest_events": {"queue": "events"},
        "events.tasks.replay_rejected": {"queue": "events"},
        "events.tasks.send_notifications": {"queue": "events"},
        "testrunner.tasks.run_tests": {"queue": "testruns"},
    },
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    worker_consumer="config.processes.consumer:SteadyConsumer",
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=1_000,
    worker_enable_remote_control=False,  # nobody uses it, and its queues are of a kind RabbitMQ 4 refuses
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_soft_shutdown_timeout=5,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # the rows, not the messages, own the work
    task_time_limit=90,  # no soft limits: core/bounded_tasks.py says why
    broker_connection_timeout=2,
    broker_pool_acquire_timeout=2,
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,  # a channel that the broker closed is opened again, like a connection
    broker_connection_max_retries=None,  # a worker waits for its broker for ever
    task_publish_retry=True,  # once: a pooled connection may be a stale one
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    timezone="UTC",
    beat_max_loop_interval=5,
)
if str(app.conf.broker_url).startswith("redis"):
    app.conf.broker_transport_options = {
        "socket_timeout": 3,  # several in a row must stay below the patience of the watchdog
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": os.environ.get("CACHE_PREFIX", "opsroom") + ":",
    }
else:
    # While RabbitMQ has a memory or disk alarm it neither confirms nor answers a farewell: a thread that publishes
    # would wait for as long as the alarm lasts. Consumers read without blocking, which these limits do not touch.
    app.conf.broker_transport_options = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
    app.conf.broker_heartbeat = 10

app.conf.beat_schedule = {
    # Expiring after about one period: what a stopped worker missed need not be caught up message by message. The
    # database scheduler reads `expire_seconds`, and drops Celery's own `expires`.
    "clean up live": {"task": "live.tasks.delete_old_messages", "schedule": 600.0, "options": {"expire_seconds": 600}},
    # Both look for what is due, however late they come: no moment of the day is special to beat. Often
    # enough that what a killed worker left is taken up within 45 s.
    "remind": {"task": "projects.tasks.send_reminders", "schedule": 30.0, "options": {"expire_seconds": 30}},
    "daily report": {"task": "projects.tasks.send_daily_report", "schedule": 30.0, "options": {"expire_seconds": 30}},
    "notify": {"task": "events.tasks.send_notifications", "schedule": 5.0, "options": {"expire_seconds": 10}},
    "digest": {"task": "events.tasks.digest_events", "schedule": 2.0, "options": {"expire_seconds": 4}},
    "sweep test runs": {"task": "testrunner.tasks.sweep_runs", "schedule": 3.0, "options": {"expire_seconds": 10}},
    "forget old logs": {
        "task": "testrunner.tasks.delete_old_logs",
        "schedule": 3_600.0,
        "options": {"expire_seconds": 3_600},
    },
    "make event partitions": {
        "task": "events.tasks.make_partitions",
        "schedule": 3600.0,
        "options": {"expire_seconds": 600},
    },
    "retain events": {"task": "events.tasks.delete_old_events", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "retain": {"task": "config.tasks.delete_old_rows", "schedule": 3600.0, "options": {"expire_seconds": 600}},
    "sweep replays": {"task": "events.tasks.sweep_replays", "schedule": 10.0, "options": {"expire_seconds": 10}},
    "sweep broadcasts": {"task": "chats.tasks.sweep_broadcasts", "schedule": 3.0, "options": {"expire_seconds": 10}},
    "sweep files": {"task": "chats.tasks.sweep_files", "schedule": 600.0, "options": {"expire_seconds": 600}},
}
PERIODIC = frozenset(entry["task"] for entry in app.conf.beat_schedule.values())
app.steps["worker"].add(DjangoStructLogInitStep)
app.steps["worker"].add("config.processes.worker_progress:Working")
app.autodiscover_tasks(["chats", "config", "events", "live", "projects", "testrunner"])


@receiver(bind_extra_task_metadata)
def _name_the_task(task: Any, **_: Any) -> None:
    """Every line that a task logs, also the one of its end, names the task."""
    structlog.contextvars.bind_contextvars(task=task.name)


@setup_logging.connect
def _leave_logging_to_django(**_: Any) -> None:
    """Connected, so that Celery configures no logging of its own."""
