"""Publishing to all watchers of a topic: written in the transaction of the change, delivered after its commit.

live/numbering.py explains step by step why no watcher misses a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from live import topics
from live.models import OutboxMessage
from live.redis_pubsub import send_hint

log = structlog.get_logger(__name__)

MAX_DATA_BYTES = 32 * 1024  # bytes of JSON; each watcher gets them, and has a queue
MAX_ID_LENGTH = 100  # characters
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def publish(topic: str, type: str, data: dict[str, Any]) -> None:
    """Publish to the watchers of `topic` when the current transaction commits, or at once outside a transaction.

    `data` may contain what Django's JSON encoder supports: dates, UUIDs, decimals. Data never aborts
    the change: what cannot be JSON, or has more than MAX_DATA_BYTES bytes, is replaced by `{"reload": true}` with the
    row's id, and watchers load the state. An unreachable Redis delays the message by up to a second. Raises ValueError
    for a topic that no app has registered.
    """
    publish_many([(topic, type, data)])


def publish_many(messages: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
    """`publish` for any number of (topic, type, data), in one INSERT."""
    events = [_event(*message) for message in messages]
    if not events:
        return
    OutboxMessage.objects.bulk_create(events, batch_size=1_000)
    if not any(waiting[1] is send_hint for waiting in connection.run_on_commit):  # one hint per transaction is enough
        transaction.on_commit(send_hint, robust=True)


def _event(topic: str, type: str, data: dict[str, Any]) -> OutboxMessage:
    if topics.permission_for(topic) is None:
        raise ValueError(f"No app has registered the topic {topic!r}: see live/topics.py.")
    return OutboxMessage(topic=topic, type=type, data=_text(topic, type, data))


def _text(topic: str, type: str, data: dict[str, Any]) -> str:
    try:
        text = _json(data)
        size = len(text.encode())
        problem = "" if size <= MAX_DATA_BYTES else f"{size} bytes, {MAX_DATA_BYTES} are the most"
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"{error.__class__.__name__}: {error}"
    if not problem:
        return text
    log.warning("message_replaced_by_reload", topic=topic, type=type, problem=problem)
    row = data.get("id")
    known = isinstance(row, int | str | UUID) and len(str(row)) <= MAX_ID_LENGTH
    return _json({"id": row, "reload": True} if known else {"reload": True})


def _json(data: dict[str, Any]) -> str:
    dumps = partial(json.dumps, data, cls=DjangoJSONEncoder, allow_nan=False, separators=(",", ":"))
    text = dumps(ensure_ascii=False)  # an escaped emoji has twelve bytes instead of four
    # A lone surrogate cannot be encoded in UTF-8, so it stays escaped.
    return dumps() if _SURROGATE.search(text) else text
