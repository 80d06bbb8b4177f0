"""Fake events by COPY, with sessions and counts: ten million in minutes, for demos, tests and load tests."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

import orjson
from django.db import connection, transaction
from django.utils import timezone

from events import services
from events.demo import traffic
from events.ingest.bulk_insert import escaped
from events.models import Application, Batch, Event, EventType
from events.models.event import BATCH_ROWS
from events.rejected.revalidation import Revalidator
from events.rollups import digest
from events.storage import partitions
from events.validation.errors import place_of

APPLICATIONS = ("Website", "Mobile app", "Help centre", "Partner shop")
DEMO_EVENTS, DEMO_DAYS = 10_000, 7
REJECTED = 0.03  # rejected events per event
BATCHES = 16  # per transaction
_AT_FIRST = 0.97  # of the sessions: a surplus would cut off the latest events
_EVENTS = """
    COPY events_event
        (id, application_id, event_id, session_id, category, name, data, timestamp, received_at) FROM STDIN
"""
_REJECTED = """
    COPY events_rejectedevent (id, application_id, event_id, category, name, code, pointer, reasons, raw, raw_hash,
        received_at) FROM STDIN
"""

Row = tuple[datetime, str]  # timestamp, and the line for COPY without its id


def create_demo_events() -> None:
    """Create the events of a new local instance, if there are none."""
    if not Event.objects.exists():
        create_fake_events(DEMO_EVENTS, DEMO_DAYS, APPLICATIONS[:2])


def create_fake_events(
    total: int,
    days: int,
    names: Sequence[str] = APPLICATIONS,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Create `total` events in the last `days` days, plus rejected ones. Missing applications and types are created.

    `progress` is called after every transaction with its number of events.
    """
    until = timezone.now()
    since = until - timedelta(days=days)
    partitions.ensure(since, until)
    applications = [_application(name) for name in names]
    _create_types()
    revalidator, chance = Revalidator(), random.Random()
    rows = islice(_events(total, since, until, applications, chance), total)
    while some := list(islice(rows, BATCHES * BATCH_ROWS)):
        _store(some, list(_mistakes(round(len(some) * REJECTED), some, applications, revalidator, chance)))
        if progress:
            progress(len(some))


def _application(name: str) -> Application:
    found = Application.objects.filter(name=name).first()
    return found or services.create_application(name=name).application


def _create_types() -> None:
    for (category, name), schema in traffic.TYPES.items():
        if schema is not None and not EventType.objects.filter(category=category, name=name).exists():
            services.create_event_type(category=category, name=name, schema=schema)


def _events(
    total: int, since: datetime, until: datetime, applications: list[Application], chance: random.Random
) -> Iterator[Row]:
    """Yield at least `total` lines, nearly in chronological order: most of them first, the rest in smaller rounds."""
    known = traffic.journeys()
    average = sum(map(len, known)) / len(known)
    made = 0
    while made < total:
        for start in traffic.starts((total - made) / average * _AT_FIRST + 1, since, until, chance):
            application = applications[int(chance.random() ** 2 * len(applications))].pk  # some have more visitors
            session, moment = uuid4(), start
            for step in known[chance.randrange(len(known))]:
                moment += timedelta(seconds=step.after)
                if moment > until:
                    break
                text = moment.isoformat()
                line = f"{application}\t{_event_id(moment)}\t{session}\t{step.category}\t{step.name}\t{step.data}"
                yield moment, f"{line}\t{text}\t{text}\n"
                made += 1


def _event_id(moment: datetime) -> str:
    """Return a UUID of version 7, as recommended for clients: events close in time are close in the index."""
    tail = os.urandom(10).hex()
    digits = f"{int(moment.timestamp() * 1000):012x}7{tail[:3]}8{tail[3:18]}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _mistakes(
    number: int, events: list[Row], applications: list[Application], revalidator: Revalidator, chance: random.Random
) -> Iterator[str]:
    """Yield lines of rejected events without their ids, spread over the time of these events."""
    for mistake in traffic.mistakes(chance, number):
        received_at = chance.choice(events)[0]
        ahead = timedelta(days=3) if "timestamp" in mistake else timedelta(0)
        sent = {
            "session_id": str(uuid4()), "category": "page interaction", "name": "cta click",
            "data": {"host": "www.example.com", "path": "/", "element": "buy"},
            **mistake, "timestamp": (received_at + ahead).isoformat(),
        }  # fmt: skip
        raw = json.dumps({"event_id": str(UUID(bytes=os.urandom(16), version=4)), **sent}).encode()
        application = chance.choice(applications).pk
        item = revalidator.check(raw, application, received_at)
        if not item.reasons:  # the event is valid because another schema was published
            continue
        first = item.reasons[0]
        texts = [item.category, item.name, first["code"], place_of(first), orjson.dumps(item.reasons).decode()]
        hash = hashlib.sha256(raw).hexdigest()
        row = "\t".join([item.event_id, *map(escaped, texts), f"\\\\x{raw.hex()}", hash, received_at.isoformat()])
        yield f"{application}\t{row}\n"


def _store(events: list[Row], rejected: list[str]) -> None:
    """Copy the rows and update the counts in one transaction, as the digest would."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT nextval('events_batch_id_seq') FROM generate_series(1, %s)", [BATCHES])
        batches = [_batch(number, events, place) for place, (number,) in enumerate(cursor.fetchall())]
        cursor.copy_expert(_EVENTS, _lines(batches, [line for _, line in events]))
        cursor.copy_expert(_REJECTED, _lines(batches, rejected))
        digest.add_up(cursor, batches)


def _batch(number: int, events: list[Row], place: int) -> Batch:
    moments = [moment for moment, _ in events[place * BATCH_ROWS : (place + 1) * BATCH_ROWS]]
    first, last = (min(moments), max(moments)) if moments else (None, None)
    now = timezone.now()  # never stored, so the database does not set it
    return Batch(pk=number, events=len(moments), rejected=0, first_timestamp=first, last_timestamp=last, created_at=now)


def _lines(batches: list[Batch], lines: list[str]) -> io.BytesIO:
    ids = (batch.pk * BATCH_ROWS + place for batch in batches for place in range(BATCH_ROWS))
    return io.BytesIO("".join([f"{id}\t{line}" for id, line in zip(ids, lines, strict=False)]).encode())
