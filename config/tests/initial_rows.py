"""Restoring the initial rows after a test with real commits, much faster than Django's flush.

Flush truncates every table and lets every app recreate its reference rows: a second or more per test. This changes only
tables whose number of rows or content differs from the start, and restores the initial rows exactly.
"""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

FEW = 500  # rows per table; more are truncated, because deleted rows make later plans and reads slow
TABLES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY oid
"""
# Sequences that a test restarted: the next row would get the number of an initial one.
GO_ON = """
    SELECT setval(found.oid::regclass, start.last_value)
    FROM unnest(%s::text[], %s::bigint[]) AS start (name, last_value)
    JOIN pg_class found ON found.oid = start.name::regclass
    JOIN pg_sequences now ON now.sequencename = found.relname AND now.schemaname = 'public'
    WHERE coalesce(now.last_value, 0) < start.last_value
"""


class InitialRows:
    """The rows of every table at construction, as text by table."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(TABLES)
            self.tables = [table for (table,) in cursor.fetchall()]
            self.rows = {table: _rows(cursor, table) for table in self.tables}
            cursor.execute(
                "SELECT quote_ident(sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL"
            )
            self.sequences = [list(column) for column in zip(*cursor.fetchall(), strict=True)]

    def restore(self) -> None:
        """Restore exactly these rows in every table. Commits."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign key checks, no triggers
            cursor.execute("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in self.tables))
            counts = dict(zip(self.tables, cursor.fetchone(), strict=True))
            if max(counts[table] - len(self.rows[table]) for table in self.tables) > FEW:
                cursor.execute("TRUNCATE " + ", ".join(self.tables))
            for table, rows in self.rows.items():
                if (counts[table] or rows) and _rows(cursor, table) != rows:
                    cursor.execute(f"DELETE FROM {table}")
                    cursor.execute(f"INSERT INTO {table} SELECT (row).* FROM unnest(%s::{table}[]) AS row", [rows])
            cursor.execute(GO_ON, self.sequences)
        ContentType.objects.clear_cache()


def _rows(cursor: Any, table: str) -> list[str]:
    cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
    return [row for (row,) in cursor.fetchall()]
