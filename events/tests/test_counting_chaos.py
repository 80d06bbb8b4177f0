"""The digest and replays while their workers are killed with -9: every event once, in every count."""

import contextlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.tests.instance import Instance, running_instance
from events.models.event import BATCH_ROWS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

BATCHES, EVENTS, WRONG = 8_000, 20, 3  # events and rejected ones in each batch
KILLS = 16
WORKERS = ["first", "second"]
# What a replay under way has before it, and itself.
REPLAYING = """
    SELECT coalesce(sum(1 + total - accepted - duplicates - still_rejected - gone), 0)
    FROM events_replay WHERE finished_at IS NULL
"""
APPLICATION = """
    INSERT INTO events_application (name, unknown_types, allowed_origins, rate, paused)
    VALUES ('Shop', 'accepted', '{}', 0, false)
"""
FILL = [
    f"""
    INSERT INTO events_batch (events, rejected, first_timestamp, last_timestamp)
    SELECT {EVENTS}, {WRONG}, timestamptz '2026-05-04' + number * interval '9 seconds',
           timestamptz '2026-05-04' + (number + 1) * interval '9 seconds' FROM generate_series(1, {BATCHES}) AS number
    """,
    f"""
    INSERT INTO events_event (id, application_id, event_id, session_id, category, name, data, timestamp)
    SELECT batch.id * {BATCH_ROWS} + place, application.id, gen_random_uuid(), 's' || (batch.id * place %% 997),
           'shop', 'type ' || place %% 3, '{{}}', batch.first_timestamp + place * interval '10 milliseconds'
    FROM events_batch AS batch, events_application AS application, generate_series(0, {EVENTS - 1}) AS place
    """,
    f"""
    INSERT INTO events_rejectedevent
        (id, application_id, event_id, category, name, code, pointer, reasons, raw, raw_hash, received_at)
    SELECT batch.id * {BATCH_ROWS} + place, application.id, gen_random_uuid(), 'shop', 'order', 'required',
           '/data/host', '[{{"code": "required", "pointer": "/data/host", "message": "-"}}]',
           convert_to('{{"session_id": "late", "category": "shop", "name": "order", "data": {{}},'
               || ' "timestamp": "2026-05-03T12:00:00Z"}}', 'UTF8'),
           batch.id || '/' || place, batch.first_timestamp
    FROM events_batch AS batch, events_application AS application, generate_series(0, {WRONG - 1}) AS place
    """,
]  # fmt: skip
# What the counts say, and what is in the tables: no row where they agree.
SESSIONS = """
    SELECT * FROM (
        SELECT session_id, min(timestamp), max(timestamp), count(*)::int FROM events_event GROUP BY 1
    ) AS there FULL JOIN events_session AS known USING (session_id)
    WHERE (known.first_seen, known.last_seen, known.event_count) IS DISTINCT FROM (there.min, there.max, there.count)
"""
MINUTES = """
    SELECT * FROM (
        SELECT minute, sum(events) AS events, sum(wrong) AS wrong FROM (
            SELECT date_trunc('minute', timestamp) AS minute, 1 AS events, 0 AS wrong FROM events_event
            UNION ALL SELECT date_trunc('minute', received_at), 0, 1 FROM events_rejectedevent
        ) AS each GROUP BY 1
    ) AS there FULL JOIN (
        SELECT minute, sum(events) AS known_events, sum(rejected) AS known_wrong FROM events_minute GROUP BY 1
        HAVING sum(events) + sum(rejected) > 0
    ) AS known USING (minute)
    WHERE (events, wrong) IS DISTINCT FROM (known_events, known_wrong)
"""
REPLAY_THREE_TIMES = """
from events import services
from events.models import Application
for _ in range(3):
    services.start_replay(selection=services.Selection(application=Application.objects.get().pk))
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.sql(APPLICATION)
        for statement in FILL:
            instance.sql(statement)
        for name in WORKERS:
            instance.start_worker(name)
        instance.start_beat()
        yield instance


def test_killed_workers_count_and_replay_everything_once(instance: Instance):
    killed = kill_until_none(instance, "SELECT count(*) FROM events_batch")

    assert killed > 0
    assert instance.sql(SESSIONS) == [] and instance.sql(MINUTES) == []
    assert instance.one("SELECT sum(event_count) FROM events_session") == BATCHES * EVENTS

    instance.shell(REPLAY_THREE_TIMES)
    killed = kill_until_none(instance, REPLAYING)

    assert killed > 0
    instance.wait_for(lambda: instance.one("SELECT count(*) FROM events_batch") == 0)
    late = BATCHES * WRONG
    assert instance.one("SELECT count(*) FROM events_rejectedevent") == 0
    assert instance.one("SELECT count(DISTINCT event_id) FROM events_event WHERE session_id = 'late'") == late
    assert instance.one("SELECT sum(accepted) FROM events_replay") == late
    assert instance.sql(SESSIONS) == [] and instance.sql(MINUTES) == []


def kill_until_none(instance: Instance, left: str, seconds: float = 250) -> int:
    """Kill a worker's process, now and then a whole worker, whenever less is left; return how many until none was."""
    killed, until = 0, time.monotonic() + seconds
    before = instance.one(left)
    while now := instance.one(left):
        assert time.monotonic() < until, f"{now} are left"
        look_after(instance)
        time.sleep(0.05)
        if now < before and killed < KILLS and kill_one(instance, whole=killed % 8 == 7):
            before = now
            killed += 1
    return killed


def look_after(instance: Instance) -> None:
    """Celery gives up where a process is killed as it starts; whoever looks after it starts it again."""
    for name in WORKERS:
        if instance.processes[name].poll() is not None:
            instance.start_worker(name)


def kill_one(instance: Instance, *, whole: bool) -> bool:
    name = random.choice(WORKERS)
    if whole:
        instance.kill(name)
        instance.start_worker(name)
        return True
    children = instance.children(name)
    with contextlib.suppress(psutil.NoSuchProcess):
        if children:
            random.choice(children).kill()
    return bool(children)
