"""Probes of database, Redis and broker for `/health/`: whether they respond and accept a write.

A standby Postgres, a full Redis and a RabbitMQ with a memory or disk alarm all respond but are not usable. Each probe
returns a text, or raises its driver's errors; Unusable has its own message.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from redis import Redis

from config.celery import app

KEPT_SECONDS = 60  # lifetime of the key that the probe writes
CONFIRM = 1.5  # seconds for a broker to confirm a message
BLOCKED = "takes no messages: a memory or disk alarm (see rabbitmqctl list_alarms)"


class Unusable(Exception):
    """A part responds but cannot work; the message says why."""


def database() -> str:
    """Check that Postgres is writable and has time limits. Raises Unusable if not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone() != ("off",):
                raise Unusable("is read-only: a standby, or default_transaction_read_only")
            cursor.execute("SHOW statement_timeout")
            if cursor.fetchone() == ("0",):
                raise Unusable("has no time limits behind the pooler: run migrate, then RECONNECT in PgBouncer")
        return "answers"
    finally:
        connection.close()  # this thread's connection only: the request threads keep theirs


def redis() -> str:
    with Redis.from_url(settings.REDIS_URL, **settings.REDIS_TIMEOUTS) as client:
        _write(client, settings.CACHES["default"]["KEY_PREFIX"])
    return "answers"


def broker() -> str:
    """Send a message that no queue receives, and wait until the broker confirms it."""
    conversation = app.connection_for_write(transport_options=_options())
    try:
        conversation.ensure_connection(max_retries=1, timeout=2)
        driver = str(conversation.transport.driver_type)
        if driver == "amqp":
            _publish(conversation)
        elif driver == "redis":
            channel: Any = conversation.default_channel
            _write(channel.client, app.conf.broker_transport_options["global_keyprefix"])
    finally:
        conversation.collect()  # not close(): a blocked RabbitMQ never answers it
    return f"answers ({driver})"


def _options() -> dict[str, Any]:
    return {**app.conf.broker_transport_options, "on_blocked": _refuse} if _is_amqp() else {}


def _is_amqp() -> bool:
    return not str(app.conf.broker_url).startswith("redis")


def _refuse(reason: str) -> None:
    raise Unusable(BLOCKED)


def _publish(conversation: Any) -> None:
    channel = conversation.channel()
    message = channel.prepare_message(b"", content_type="text/plain")
    try:
        channel.basic_publish_confirm(message, exchange="", routing_key="opsroom.probe", confirm_timeout=CONFIRM)
    except TimeoutError:
        raise Unusable(f"did not confirm a message within {CONFIRM} s") from None


def _write(client: Any, prefix: str) -> None:
    client.set(f"{prefix.rstrip(':')}:probe", b"1", ex=KEPT_SECONDS)
