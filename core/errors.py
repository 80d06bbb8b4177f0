"""What somebody refers to may be deleted at the same moment: found here, and not at the commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction

_NAMED = re.compile(r"constraint \"projects_[a-z]+_(\w+?)_id_")  # the field, in the names that Django gives
_ACTORS = ("history_user", "written_by")


class RelatedRowGone(Exception):
    """What a row should belong to has been deleted. `field` is the field that named it."""

    def __init__(self, field: str) -> None:
        super().__init__(f"This {field} has been deleted.")
        self.field = field


@contextmanager
def still_there(field: str) -> Iterator[None]:
    """Check the foreign keys of what is written inside now, not at the commit; raise RelatedRowGone where a row is
    missing.

    Raises PermissionDenied where it is the account of the user who writes.

    `field` is what to call it where Postgres does not say.
    From then on to the end of the transaction the check's own lock keeps the rows that are referred to.
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
