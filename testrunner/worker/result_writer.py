"""Writer of a run's log, results and counts while it runs. Each write is fenced by the run's token.

Postgres may be unavailable for a while. Data that could not be written is kept and tried again with the data that
follows, until the lease is lost. The executor caps the log, so this is a few MiB at most. If a commit succeeded but its
confirmation was lost, writing the same data again changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection, transaction

from testrunner import realtime
from testrunner.models import LogChunk, TestResult, TestRun
from testrunner.models.file import MAX_PATH_LENGTH
from testrunner.queue.leases import Lease, LeaseLost
from testrunner.sandbox.boottime import boottime
from testrunner.sandbox.results.nodeids import shortened

if TYPE_CHECKING:
    from testrunner.sandbox.results.outcome import TestOutcome as Reported

log = structlog.get_logger(__name__)

FLUSH_INTERVAL = 0.25  # seconds; the longest delay of a live page
RETRY_INTERVAL = 0.5  # seconds
MAX_CHUNK_BYTES = 256 * 1024  # bytes of log in one row
MAX_BATCH = 1_000  # results in one statement
MAX_PUBLISHED = 20  # results in one message; clients that count more fetch them


class ResultWriter:
    """Collects the executor's output and writes it at most every quarter of a second."""

    def __init__(self, run: TestRun, lease: Lease) -> None:
        self.run, self.lease = run, lease
        self.counts: Counter[str] = Counter()
        self._counted: dict[str, tuple[str, ...]] = {}  # the outcomes that each test counts as, by stored id
        self._log = bytearray()
        self._results: list[Reported] = []
        self._batch: tuple[bytes, list[Reported]] | None = None  # being written, possibly again
        self._next_flush = 0.0

    def log(self, piece: bytes) -> None:
        self._log += piece
        self.flush_if_due()

    def result(self, result: Reported) -> None:
        """Add a test's result. The result of a rerun replaces the earlier one and contains its messages."""
        result = replace(result, nodeid=shortened(result.nodeid))
        self.counts.subtract(self._counted.get(result.nodeid, ()))
        self.counts.update(result.counts_as)
        self._counted[result.nodeid] = result.counts_as
        self._results.append(result)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the collected data if it is time. Raises LeaseLost."""
        if (self._log or self._results) and boottime() >= self._next_flush:
            try:
                self._flush()
                pause = FLUSH_INTERVAL
            except Error as error:
                _close_connection_or_raise(error)
                pause = RETRY_INTERVAL
            self._next_flush = boottime() + pause

    def flush(self) -> None:
        """Write all remaining data, with retries until it is written. Raises LeaseLost."""
        while self._log or self._results:
            retry_until_lease_lost(self.lease, self._flush)

    def flush_or_log(self) -> None:
        """Write the remaining data of a failed run, and log an error of the database. Raises LeaseLost."""
        try:
            self.flush()
        except Error:
            log.exception("rest_not_written", run=self.run.pk)

    def totals(self) -> dict[str, int]:
        """Return the five counts of the run's row.

        A test that fails in its call and in its teardown counts as failed and as an error. An expected failure counts
        as skipped, an unexpected pass as passed.
        """
        counts = self.counts
        return {
            "tests": len(self._counted),
            "passed": counts["passed"] + counts["xpassed"],
            "failed": counts["failed"],
            "skipped": counts["skipped"] + counts["xfailed"],
            "errors": counts["error"],
        }

    def _flush(self) -> None:
        if self.lease.is_lost:
            raise LeaseLost
        if self._batch is None:
            self._batch = bytes(self._log[:MAX_CHUNK_BYTES]), self._results[:MAX_BATCH]
        piece, results = self._batch
        self._write(piece, results)
        self._batch = None
        self.run.log_size += len(piece)
        del self._log[: len(piece)], self._results[: len(results)]

    @transaction.atomic
    def _write(self, piece: bytes, results: list[Reported]) -> None:
        size = self.run.log_size + len(piece)
        # The update comes first, to lock the row: either the sweeper waits for this write, or this write finds that the
        # run was marked as lost.
        if not TestRun.objects.filter(self.lease.condition).update(log_size=size, **self.totals()):
            raise LeaseLost
        if piece:
            chunk = LogChunk(run=self.run, offset=self.run.log_size, data=piece)
            LogChunk.objects.bulk_create([chunk], ignore_conflicts=True)
        # One statement cannot update a row twice.
        rows = {result.nodeid: self._row(result) for result in results}
        TestResult.objects.bulk_create(
            rows.values(),
            update_conflicts=True, unique_fields=["run", "nodeid"],
            update_fields=["outcome", "duration", "message", "details"],
        )  # fmt: skip
        published = [{"nodeid": result.nodeid, "outcome": result.outcome} for result in results[-MAX_PUBLISHED:]]
        realtime.run_progressed(self.run.pk, size=size, tests=self.totals(), results=published)

    def _row(self, result: Reported) -> TestResult:
        path, _, name = result.nodeid.partition("::")
        return TestResult(
            run=self.run, environment_id=self.run.environment_id, nodeid=result.nodeid, path=path[:MAX_PATH_LENGTH],
            name=name or result.nodeid, outcome=result.outcome, duration=result.seconds, message=result.message,
            details=result.details,
        )  # fmt: skip


def retry_until_lease_lost(lease: Lease, write: Callable[[], None]) -> None:
    """Call `write` until the database accepts it. Raises LeaseLost when the lease has run out."""
    while not lease.is_lost:
        try:
            return write()
        except Error as error:
            _close_connection_or_raise(error)
            time.sleep(RETRY_INTERVAL)
    raise LeaseLost


def _close_connection_or_raise(error: Error) -> None:
    """Close the connection if the error is temporary, so that the next attempt opens a new one; otherwise raise the
    error.

    psycopg2 reports a connection that broke in the middle of a query as a plain DatabaseError.
    """
    if not isinstance(error, OperationalError | InterfaceError) and type(error) is not DatabaseError:
        raise error
    connection.close()
