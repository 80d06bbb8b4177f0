from __future__ import annotations

from django.db.models import DateTimeField, Func


class ClockNow(Func):
    """The database's clock at this very moment, not when the transaction began.

    A claim waits for the environment's lock. Stamped with the transaction's time it would seem to have started before
    the run ahead of it had ended.
    """

    template = "clock_timestamp()"
    output_field = DateTimeField()
