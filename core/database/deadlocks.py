"""More tries for a verb that Postgres chose as the victim of a deadlock."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

Given = ParamSpec("Given")
Result = TypeVar("Result")
TRIES = 3  # the second may take the freed locks before the other transaction wakes up, and meet it once more
DEADLOCK = "40P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def retried(verb: Callable[Given, Result]) -> Callable[Given, Result]:
    """Call a verb, which is one transaction, again after a deadlock: nothing of the call before was done.

    Within a caller's transaction the error is the caller's, because that transaction is over.
    """

    @wraps(verb)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        for _ in range(TRIES - 1):
            try:
                return verb(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or not is_deadlock(error):
                    raise
        return verb(*args, **kwargs)

    return call


def is_deadlock(error: BaseException | None) -> bool:
    """Whether an error of Django's or of the driver's is Postgres' 40P01."""
    return getattr(error, "pgcode", None) == DEADLOCK or getattr(error and error.__cause__, "pgcode", None) == DEADLOCK
