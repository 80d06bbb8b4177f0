from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import DateTimeField, F, Func
from django.db.models.functions import Greatest


class ClockNow(Func):
    """The database's current time (clock_timestamp), not the start time of the transaction.

    A claim waits for the environment's lock. With the transaction's start time, a run would seem to have started before
    the previous run ended.
    """

    template = "clock_timestamp()"
    output_field = DateTimeField()


def not_before(*columns: str) -> Greatest:
    """Return the database's current time, but no earlier than these columns of the row; NULL columns are ignored.

    The clock can be set back between two steps of a run. Without this, the later step would violate a constraint.
    """
    return Greatest(ClockNow(), *map(F, columns))


def database_now() -> datetime:
    """Return the database's current time, which is used for every time that is stored or compared here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
