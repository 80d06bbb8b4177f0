"""First come, first served, one at a time: who may start in which environment, and when it was done.

Every step that queues, starts or ends a run is one short transaction that begins by locking the environment's row:

1. `enqueue` inserts the run under that lock. Ids are handed out while it is held, so within an environment the order of
   ids is the order of commits, and "the oldest" is never overtaken by one that commits later.
2. `claim_next` looks, without a lock, at the first run that could start in each environment, and takes the one that
   has waited longest of all: an environment with a long queue keeps no other from its turn. Then it locks that
   environment, asks again what is first there, and makes it the active one. The environment's generation goes up by
   one and is the run's token: whoever had an earlier token is refused from now on, whatever he still believes.
3. `end` writes the outcome where the run still is the worker's own, and lets a reservation begin that waited for it. It
   wakes nobody: the worker that ended a run looks for the next one itself (runs.py), and whoever is next after a run
   that was lost is found by the sweeper that lost it (sweeper.py).

The lock makes the order; `testrunner_testrun_one_active` makes the promise. If the constraint ever speaks up, the
environment was busy after all: the run goes on waiting. No step takes a time from the transaction's start, since it
may have waited for the lock, and none takes one that is before an earlier step's: see testrunner/clock.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, When

from core.database.deadlocks import retried
from core.wake import wake
from testrunner import realtime
from testrunner.clock import ClockNow, database_now, not_before
from testrunner.files.snapshot import Snapshot
from testrunner.models import RunFile, TestEnvironment, TestRun

log = structlog.get_logger(__name__)

WORK = "testrunner.tasks.work"
# A worker renews its leases every 5 s and gives its runs up itself after 15 s without success
# (testrunner/queue/leases.py).
LEASE = timedelta(seconds=30)
RESERVATION = ["reserved_by", "reserved_for", "reserved_from", "reserved_until", "reservation_note"]


@contextmanager
def locked(environment_id: int) -> Iterator[TestEnvironment]:
    """The environment's row, locked to the end of the block's transaction.

    Not against its key: results and runs that refer to it are inserted meanwhile.
    """
    with transaction.atomic():
        yield TestEnvironment.objects.select_for_update(no_key=True).get(pk=environment_id)


def call_worker(environment_id: int) -> None:
    """Wake a worker. While every slot is busy the sweeper goes on waking, so what is 30 s old says nothing new."""
    wake(WORK, environment_id, expires=30)


@retried
def enqueue(run: TestRun, files: Sequence[Snapshot]) -> TestRun:
    """Put a new run, with the bytes of its files, at the end of its environment's queue."""
    with locked(run.environment_id) as environment:
        run.pk = None  # an id of an attempt that was rolled back was handed out under an earlier lock
        run.save(force_insert=True)
        RunFile.objects.bulk_create(
            RunFile(
                run=run, position=position, root=file.root, path=file.path, sha256=file.sha256,
                size=len(file.content), content=file.content, comes_along=file.comes_along,
            )
            for position, file in enumerate(files)
        )  # fmt: skip
        run.refresh_from_db(fields=["queued_at"])
        realtime.run_updated(run)
        realtime.environment_updated(environment)
        call_worker(run.environment_id)
    return run


def may_start(environment: TestEnvironment) -> Q:
    """Which of its queued runs could start in a free environment: under a reservation, the holder's only."""
    if not environment.enabled:
        return Q(pk__in=[])
    return Q(created_by=environment.reserved_by) if environment.is_reserved(database_now()) else Q()


def startable() -> list[tuple[int, int]]:
    """The first run of each free environment and the environment, as far as one can see without a lock; oldest first.

    A hundred looks into an index, however long queues and history are.
    """
    queued = TestRun.objects.queued().filter(environment=OuterRef("pk")).order_by("id").values("pk")
    busy = TestRun.objects.running().filter(environment=OuterRef("pk"))
    reserved = TestEnvironment.objects.reserved(ClockNow()).filter(reserved_by__isnull=False)
    holders = Subquery(queued.filter(created_by=OuterRef("reserved_by"))[:1])
    first = Case(When(pk__in=reserved.values("pk"), then=holders), default=Subquery(queued[:1]))
    found = TestEnvironment.objects.enabled().filter(~Exists(busy)).annotate(first=first)
    return list(found.filter(first__isnull=False).order_by("first").values_list("first", "pk"))


def claim_next(worker: str) -> TestRun | None:
    """Make the run that has waited longest the active one of its environment; None where nothing can start now."""
    for _, environment_id in startable():
        if (run := claim(environment_id, worker)) is not None:
            return run
    return None


@retried
def claim(environment_id: int, worker: str) -> TestRun | None:
    """Make the first queued run of this environment its active one; None where it is busy, closed or has none."""
    try:
        with locked(environment_id) as environment:
            if TestRun.objects.running().filter(environment=environment).exists():
                return None
            queued = TestRun.objects.queued().filter(may_start(environment), environment=environment)
            run = queued.order_by("id").first()
            return run and _activate(run, environment, worker)
    except IntegrityError:
        log.warning("environment_busy_after_all", environment=environment_id)
        return None


def _activate(run: TestRun, environment: TestEnvironment, worker: str) -> TestRun:
    environment.generation += 1
    # Not by save(), which would write a row of history at every start of a run.
    TestEnvironment.objects.filter(pk=environment.pk).update(generation=environment.generation)
    TestRun.objects.filter(pk=run.pk, status=TestRun.Status.QUEUED).update(
        status=TestRun.Status.RUNNING,
        started_at=not_before("queued_at"),
        worker=worker[:255],
        lease_token=environment.generation,
        lease_until=ClockNow() + LEASE,
    )
    run.refresh_from_db()
    realtime.run_updated(run)
    realtime.environment_updated(environment)
    return run


@retried
def end(run: TestRun, still: Q, status: TestRun.Status, **fields: Any) -> bool:
    """Write how a run ended, where it is `still` what the caller took it for; return whether it was.

    `still` names the token, or the state, that makes it the caller's to end.
    """
    with locked(run.environment_id) as environment:
        ended = TestRun.objects.filter(still, pk=run.pk).update(
            status=status, finished_at=not_before("queued_at", "started_at"), lease_until=None, **fields
        )
        if not ended:
            return False
        _begin_reservation(environment)
        run.refresh_from_db()
        realtime.run_updated(run)
        realtime.environment_updated(environment)
        return True


def _begin_reservation(environment: TestEnvironment) -> None:
    if environment.reserved_for is None or environment.reserved_until is not None:
        return
    if TestRun.objects.running().filter(environment=environment).exists():
        return  # it was a queued run that ended
    TestEnvironment.objects.filter(pk=environment.pk).update(
        reserved_from=ClockNow(), reserved_until=ClockNow() + F("reserved_for")
    )
    environment.refresh_from_db()


def clear_reservation(environment: TestEnvironment) -> None:
    environment.reserved_by = environment.reserved_for = None
    environment.reserved_from = environment.reserved_until = None
    environment.reservation_note = ""
