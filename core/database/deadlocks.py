"""Retry of a transaction that Postgres chose as the victim of a deadlock."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

Given = ParamSpec("Given")
Result = TypeVar("Result")
TRIES = 3  # the second try may take the freed locks before the other transaction wakes up, and deadlock again
DEADLOCK = "40P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def retried(verb: Callable[Given, Result]) -> Callable[Given, Result]:
    """Decorate a function that is one transaction: call it again after a deadlock, which rolled everything back.

    Inside a caller's transaction the error is raised at once, because that whole transaction was rolled back.
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
    """Return whether an error of Django or of the driver is Postgres' 40P01."""
    return getattr(error, "pgcode", None) == DEADLOCK or getattr(error and error.__cause__, "pgcode", None) == DEADLOCK
