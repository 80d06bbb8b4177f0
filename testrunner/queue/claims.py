"""Queue and claims of runs: per environment first come, first served, and one active run at a time.

Every step that queues, starts or ends a run is one short transaction that first locks the environment's row:

1. `enqueue` inserts the run under that lock. Ids are assigned while the lock is held, so within an environment the
   order of ids is the order of commits. A run that commits later never gets a lower id than the oldest waiting run.
2. `claim_next` finds, without a lock, the first run that could start in each environment. It tries the one that has
   waited longest of all, so an environment with a long queue does not delay the others. Then it locks that environment,
   queries its first run again, and makes it the active one. The environment's generation increases by one and becomes
   the run's token. From then on, writes with an earlier token are refused, even if their worker still believes that it
   owns a run.
3. `end` writes the outcome if the run still belongs to the caller, and starts a reservation that waited for the run's
   end. It wakes no worker. A worker that ended a run looks for the next one itself (testrunner/worker/runner.py). After
   a lost run, the sweeper that ended it also finds the next one (sweeper.py).

The lock enforces the order. The constraint `testrunner_testrun_one_active` guarantees one active run. If the constraint
fails, the environment was busy, and the run keeps waiting. No step uses the transaction's start time, because the
transaction may have waited for the lock. No step stores a time before that of an earlier step: see testrunner/clock.py.
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

RUN_TESTS = "testrunner.tasks.run_tests"
# A worker renews its leases every 5 s and gives up its runs after 15 s without success (testrunner/queue/leases.py).
LEASE = timedelta(seconds=30)
RESERVATION = ["reserved_by", "reserved_for", "reserved_from", "reserved_until", "reservation_note"]


@contextmanager
def locked(environment_id: int) -> Iterator[TestEnvironment]:
    """Lock the environment's row until the end of the block's transaction, and yield it.

    Raises DoesNotExist. FOR NO KEY UPDATE is used, so results and runs that refer to the row can be inserted meanwhile.
    """
    with transaction.atomic():
        yield TestEnvironment.objects.select_for_update(no_key=True).get(pk=environment_id)


def wake_worker(environment_id: int) -> None:
    """Wake a worker. The message expires after 30 s, because the sweeper repeats it while all slots are busy."""
    wake(RUN_TESTS, environment_id, expires=30)


@retried
def enqueue(run: TestRun, files: Sequence[Snapshot]) -> TestRun:
    """Append a new run, with the bytes of its files, to its environment's queue."""
    with locked(run.environment_id) as environment:
        run.pk = None  # after a rollback, the id was assigned under an earlier lock
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
        wake_worker(run.environment_id)
    return run


def may_start(environment: TestEnvironment) -> Q:
    """Return the condition for queued runs that could start if this environment were free.

    Under a reservation these are only the holder's runs; in a disabled environment none.
    """
    if not environment.enabled:
        return Q(pk__in=[])
    return Q(created_by=environment.reserved_by) if environment.is_reserved(database_now()) else Q()


def startable() -> list[tuple[int, int]]:
    """Return (run id, environment id) of the first run of each free environment, oldest first. Takes no lock.

    This costs one index lookup per environment (a hundred), however long queues and history are.
    """
    queued = TestRun.objects.queued().filter(environment=OuterRef("pk")).order_by("id").values("pk")
    busy = TestRun.objects.running().filter(environment=OuterRef("pk"))
    reserved = TestEnvironment.objects.reserved(ClockNow()).filter(reserved_by__isnull=False)
    holders = Subquery(queued.filter(created_by=OuterRef("reserved_by"))[:1])
    first = Case(When(pk__in=reserved.values("pk"), then=holders), default=Subquery(queued[:1]))
    found = TestEnvironment.objects.enabled().filter(~Exists(busy)).annotate(first=first)
    return list(found.filter(first__isnull=False).order_by("first").values_list("first", "pk"))


def claim_next(worker: str) -> TestRun | None:
    """Make the run that has waited longest the active one of its environment; return None if nothing can start now."""
    for _, environment_id in startable():
        if (run := claim(environment_id, worker)) is not None:
            return run
    return None


@retried
def claim(environment_id: int, worker: str) -> TestRun | None:
    """Make the first queued run of this environment its active one.

    Return None if the environment is busy or disabled, or no run may start in it.
    """
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
    # save() would write a row of history at every start of a run.
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
def end(run: TestRun, condition: Q, status: TestRun.Status, **fields: Any) -> bool:
    """Write the outcome of a run if it still matches `condition`; return whether it did.

    `condition` names the token, or the state, that entitles the caller to end the run.
    """
    with locked(run.environment_id) as environment:
        ended = TestRun.objects.filter(condition, pk=run.pk).update(
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
        return  # a queued run ended, and another one is still active
    TestEnvironment.objects.filter(pk=environment.pk).update(
        reserved_from=ClockNow(), reserved_until=ClockNow() + F("reserved_for")
    )
    environment.refresh_from_db()


def clear_reservation(environment: TestEnvironment) -> None:
    environment.reserved_by = environment.reserved_for = None
    environment.reserved_from = environment.reserved_until = None
    environment.reservation_note = ""
