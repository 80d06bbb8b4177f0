"""Error for a related row that is deleted concurrently: detected before the commit, while it can be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

_NAMED = re.compile(r"constraint \"[a-z]+_[a-z]+_(\w+?)_id_")  # the field, in Django's names of constraints
_ACTORS = ("history_user", "written_by")


class RelatedRowGone(Exception):
    """The related row was deleted. `field` is the foreign key that refers to it."""

    def __init__(self, field: str) -> None:
        super().__init__(f"This {field} has been deleted.")
        self.field = field


@contextmanager
def still_there(field: str) -> Iterator[None]:
    """Check the foreign keys of everything written inside before the commit.

    Raises RelatedRowGone if a related row is missing, and PermissionDenied if it is the account of the user who writes.
    `field` is the name for the error if Postgres does not give one.

    The check locks the related rows, so they stay until the end of the transaction.
    """
    try:
        with transaction.atomic():
            yield
            connection.check_constraints()
    except IntegrityError as error:
        if "foreign key" not in str(error):
            raise
        named = _NAMED.search(str(error))
        if named and named[1] in _ACTORS:
            raise PermissionDenied("Your account has been deleted.") from error
        raise RelatedRowGone(named[1] if named else field) from error
