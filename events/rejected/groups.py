"""Rejected events grouped by application, type, reason and place: a few dozen rows for a million events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

MAX_GROUPS = 200  # per response: this many muted groups and this many others

# The first part is an index-only scan of the groups' index, the second reads one row per group. Without `since`, all of
# the index is read.
_GROUPS = """
    SELECT application_id, category, counted.name, code, pointer, events, first, last, muted,
           application.name AS application_name, sample.id
    FROM (
        SELECT each.*, mute.id IS NOT NULL AS muted,
               row_number() OVER (PARTITION BY mute.id IS NULL ORDER BY events DESC, last DESC) AS place
        FROM (
            SELECT application_id, category, name, code, pointer, count(*) AS events,
                   min(received_at) AS first, max(received_at) AS last
            FROM events_rejectedevent WHERE {conditions}
            GROUP BY application_id, category, name, code, pointer
        ) AS each
        LEFT JOIN events_rejectedmute AS mute USING (application_id, category, name, code, pointer)
    ) AS counted
    JOIN events_application AS application ON application.id = counted.application_id
    LEFT JOIN LATERAL (
        SELECT id FROM events_rejectedevent AS rejected_event
        WHERE rejected_event.application_id = counted.application_id AND rejected_event.category = counted.category
          AND rejected_event.name = counted.name AND rejected_event.code = counted.code
          AND rejected_event.pointer = counted.pointer AND rejected_event.received_at = counted.last
        LIMIT 1
    ) AS sample ON true
    WHERE place <= %(most)s
    ORDER BY events DESC, last DESC
"""


@dataclass(frozen=True)
class RejectedGroup:
    application: int
    category: str
    name: str
    code: str
    pointer: str
    count: int
    first_received: datetime
    last_received: datetime
    muted: bool
    application_name: str
    sample: int | None  # the id of its newest event


def groups(*, since: datetime | None = None, **members: Any) -> list[RejectedGroup]:
    """Return the largest groups of events received since `since`.

    `members` filter by `application`, `category`, `name` or `code`; None means any.
    """
    columns = {"application": "application_id", "category": "category", "name": "name", "code": "code"}
    wanted = {name: value for name, value in members.items() if value is not None}
    conditions = [f"{columns[name]} = %({name})s" for name in wanted]
    if since is not None:
        conditions.append("received_at >= %(since)s")
    query = _GROUPS.format(conditions=" AND ".join(conditions) or "true")
    with connection.cursor() as cursor:
        cursor.execute(query, {**wanted, "since": since, "most": MAX_GROUPS})
        return [RejectedGroup(*row) for row in cursor.fetchall()]
