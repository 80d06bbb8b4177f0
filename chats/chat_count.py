"""The number of chats, without counting a million rows."""

from typing import NamedTuple

from django.db import connection

EXACT_UP_TO = 100_000
# Scaled by the current size of the table, so that a million new rows count before the next ANALYZE.
_ESTIMATE = """
    SELECT reltuples / nullif(relpages, 0) * pg_relation_size(oid) / current_setting('block_size')::int
    FROM pg_class WHERE oid = 'chats_chat'::regclass
"""


class ChatCount(NamedTuple):
    """A number of chats. `exact` is False for the planner's estimate."""

    number: int
    exact: bool

    def __str__(self) -> str:
        if self.exact:
            return f"{self.number:,}"
        return f"about {round(self.number, 1 - len(str(self.number)) + 2):,}"  # three digits, its precision


def count_chats() -> ChatCount:
    """Return the exact number up to EXACT_UP_TO, and the estimate of the last ANALYZE beyond it."""
    with connection.cursor() as cursor:
        cursor.execute(_ESTIMATE)
        estimated = int(cursor.fetchone()[0] or 0)
        if estimated > 2 * EXACT_UP_TO:  # far above the limit, so counting up to it is pointless
            return ChatCount(estimated, False)
        cursor.execute("SELECT count(*) FROM (SELECT FROM chats_chat LIMIT %s) AS first", [EXACT_UP_TO + 1])
        counted = cursor.fetchone()[0]
    return ChatCount(counted, True) if counted <= EXACT_UP_TO else ChatCount(max(counted, estimated), False)
