from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import DateTimeField, F, Func
from django.db.models.functions import Greatest


class ClockNow(Func):
    """The database's clock at this very moment, not when the transaction began.

    A claim waits for the environment's lock. Stamped with the transaction's time it would seem to have started before
    the run ahead of it had ended.
    """

    template = "clock_timestamp()"
    output_field = DateTimeField()


def not_before(*columns: str) -> Greatest:
    """The database's clock, but no earlier than these columns of the row, of which empty ones do not count.

    The clock can be set back between two steps of a run. That must not make the second step impossible.
    """
    return Greatest(ClockNow(), *map(F, columns))


def database_now() -> datetime:
    """The database's clock: every time that is stored or compared here is its."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
