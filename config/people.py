"""Deleting a person: what was theirs belongs to nobody afterwards, also what becomes theirs at the same moment."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, connection, transaction

from live.deadlocks import retried

MOST_TRIES = 5


@retried
def delete_person(*, person: Any) -> None:
    """Delete a person.

    A row that is given to them after theirs were looked for, and before theirs is locked, is found by the check of the
    foreign keys. From then on nobody can refer to them, because the row is locked. So the next try finds all.
    """
    pk = person.pk
    for attempt in range(1, MOST_TRIES + 1):
        try:
            with transaction.atomic():
                person.delete()
                connection.check_constraints()
            return
        except IntegrityError:
            person.pk = pk
            if attempt == MOST_TRIES:
                raise
