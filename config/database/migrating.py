"""How `migrate` runs: with its own time limits, one process at a time, and with retries after lock timeouts.

1. The web's limits of 30 s per statement and 10 s per lock do not suit migrations: building an index may take an hour.
   A migration's statements have no limit, and its locks LOCK_TIMEOUT: waiting for an exclusive lock blocks all requests
   behind it. So it waits briefly, gives up, and tries again later.
2. A second process waits until the first has ended (an advisory lock in a separate session, which a killed process
   releases), and then finds nothing left to do.
3. After a lock timeout or a deadlock the whole command runs again, because each applied migration is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

LOCK = 0x4F70_7372_6F6F_6D  # "Opsroom"
LOCK_TIMEOUT = "4s"
ATTEMPTS = 40
PAUSE = 3.0  # seconds between attempts, in which blocked requests continue
POLL = 0.5  # seconds between two attempts to take the lock of another migrate
AGAIN = {"55P03", "40P01"}  # lock not available, deadlock detected
LIMITS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
}


@contextmanager
def own_limits(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Set the limits of a migration, and restore those of the connection afterwards."""
    with connection.cursor() as cursor:
        for name, value in LIMITS.items():
            cursor.execute(f"SET {name} = '{value}'")
    try:
        yield
    finally:
        if connection.connection is not None and not connection.needs_rollback and not connection.closed_in_transaction:
            with connection.cursor() as cursor:
                for name in LIMITS:
                    cursor.execute(f"RESET {name}")


def give_limits_to_the_role(connection: BaseDatabaseWrapper) -> None:
    """Make the time limits settings of the role, because a pooler does not pass on those of the connection.

    They apply to sessions that begin afterwards.
    """
    role = settings.DATABASES[connection.alias]["USER"] or connection.settings_dict["USER"]
    quote = connection.ops.quote_name
    name = quote(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        for limit, value in settings.DATABASE_LIMITS.items():
            cursor.execute(f"ALTER ROLE {quote(role)} IN DATABASE {name} SET {limit} = '{value}'")


@contextmanager
def one_at_a_time(alias: str, say: Callable[[str], Any]) -> Iterator[None]:
    """Hold the migration lock of this database; wait for it without a limit."""
    session = connections[alias].copy()
    try:
        waiting = False
        while not _is_locked(session):
            if not waiting:
                say("Another process is migrating this database. Waiting until it has ended.")
                waiting = True
            time.sleep(POLL)
        yield
    finally:
        session.close()


def _is_locked(session: BaseDatabaseWrapper) -> bool:
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        return bool(cursor.fetchone()[0])


def with_patience(work: Callable[[], Any], say: Callable[[str], Any], alias: str = DEFAULT_DB_ALIAS) -> Any:
    """Return the result of `work`, retried after lock timeouts and deadlocks."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except OperationalError as error:
            if attempt == ATTEMPTS or connections[alias].in_atomic_block or not _may_pass(error):
                raise
            say(f"A table is in use ({str(error).splitlines()[0]}). Attempt {attempt + 1} of {ATTEMPTS} follows.")
            time.sleep(PAUSE)
    raise AssertionError("unreachable")


def _may_pass(error: OperationalError) -> bool:
    return getattr(error.__cause__, "pgcode", None) in AGAIN
