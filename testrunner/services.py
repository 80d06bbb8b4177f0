"""Service functions of the test runner, for views, admin, commands and other apps. Workers are woken on commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from core.database.deadlocks import retried
from testrunner import realtime
from testrunner.clock import ClockNow, database_now
from testrunner.files.snapshot import Snapshot, files_key
from testrunner.models import Root, RunNotAllowed, TestEnvironment, TestResult, TestRun
from testrunner.queue import claims, quotas
from testrunner.sandbox.redaction import STARS
from testrunner.sandbox.results.nodeids import selection_for

MAX_FILES = 200
MAX_BYTES = 20 * 2**20  # of all files of a run
MAX_RESERVATION = timedelta(days=7)


class InvalidTimeLimit(RunNotAllowed):
    """The requested time limit is outside the allowed range."""


def start_run(
    *,
    user: Any,
    environment: TestEnvironment,
    files: Sequence[Snapshot],
    requested_by: str = "",
    wall_seconds: int | None = None,
    request_key: UUID | None = None,
) -> TestRun:
    """Queue a run of these files with their current bytes, on behalf of `requested_by` (default: the user's name).

    The run starts when every earlier run in its environment has ended; see `position` and `expected_start` in
    testrunner/queue/estimates.py. Repeating the same request with the same `request_key` returns the run that it
    created the first time. Raises RunNotAllowed, with a sentence, for no file, a duplicate file, too many or too large
    files, and for Opsroom's own tests together with other files. Raises InvalidTimeLimit for an invalid time limit, and
    QuotaExceeded if too many runs are waiting.
    """
    _check(files, wall_seconds)
    return _enqueue_once(
        TestRun(
            environment=environment,
            requested_by=requested_by.strip()[:255] or user.get_username(),
            created_by=user,
            wall_seconds=wall_seconds or settings.TESTRUN_DEFAULT_SECONDS,
            files_key=files_key(files),
            request_key=request_key,
        ),
        files,
    )


def rerun(*, run: TestRun, user: Any, failed_only: bool = False, request_key: UUID | None = None) -> TestRun:
    """Queue a finished run again: the same bytes in the same environment, all tests or only those that did not pass.

    `request_key` is as in `start_run`. Raises RunNotAllowed if the run has not finished, its files are no longer kept
    or it was deleted meanwhile, and with `failed_only` if none of its tests failed.
    """
    if not run.is_finished:
        raise RunNotAllowed(f"Run {run.pk} has not finished yet.")
    options = {name: getattr(run, name) for name in TestRun.OPTIONS}
    if failed_only:
        options["selection"] = _failed_of(run)
    files = [Snapshot(file.root, file.path, bytes(file.content), file.comes_along) for file in run.files.all()]
    if any(len(file.content) != stored.size for file, stored in zip(files, run.files.all(), strict=True)):
        raise RunNotAllowed(f"The files of run {run.pk} are not kept any more: start a new run.")
    return _enqueue_once(
        TestRun(
            requested_by=user.get_username(), created_by=user, rerun_of=run, request_key=request_key,
            files_key=files_key(files, options["selection"]), **options,
        ),
        files,
    )  # fmt: skip


@retried
def cancel_run(*, run: TestRun, user: Any) -> TestRun:
    """Cancel a run. A queued run leaves the queue; for a running one its worker is asked to stop it, which takes
    seconds.

    Returns the run as it is now. Raises RunNotAllowed if it has ended already.
    """
    asked = {"cancel_requested_at": ClockNow(), "cancel_requested_by": user}
    with claims.locked(run.environment_id):
        reason = f"Cancelled by {user} while it waited."
        if not claims.end(run, Q(status=TestRun.Status.QUEUED), TestRun.Status.CANCELLED, reason=reason, **asked):
            if not TestRun.objects.running().filter(pk=run.pk, cancel_requested_at=None).update(**asked):
                run.refresh_from_db()
                if run.is_finished:
                    raise RunNotAllowed(f"Run {run.pk} has ended already: {run.get_status_display().lower()}.")
            run.refresh_from_db()
            realtime.run_updated(run)
    return run


@retried
def reserve(
    *, environment: TestEnvironment, user: Any, duration: timedelta, after_current: bool = False, note: str = ""
) -> TestEnvironment:
    """Reserve an environment for the user's own runs. Runs of others wait from now on; an active run continues to its
    end.

    `duration` counts from now or, with `after_current`, from the end of the active run, if there is one. The holder may
    change the reservation. Raises RunNotAllowed if another user holds it, it is disabled, or the duration is not
    allowed.
    """
    if not timedelta(0) < duration <= MAX_RESERVATION:
        raise RunNotAllowed(f"A reservation must be longer than 0 and at most {MAX_RESERVATION.days} days.")
    with claims.locked(environment.pk) as row:
        if not row.enabled:
            raise RunNotAllowed(f"{row.name} is disabled.")
        now = database_now()
        if row.is_reserved(now) and row.reserved_by != user:
            raise RunNotAllowed(f"{row.name} is reserved by {row.reserved_by}.")
        later = after_current and row.runs.running().exists()
        row.reserved_by, row.reserved_for, row.reservation_note = user, duration, note.strip()[:200]
        row.reserved_from = None if later else now
        row.reserved_until = row.reserved_from and row.reserved_from + duration
        _save(row, user, claims.RESERVATION)
    return row


@retried
def release(*, environment: TestEnvironment, user: Any) -> TestEnvironment:
    """End a reservation early. Raises RunNotAllowed if the environment is not reserved (any more)."""
    with claims.locked(environment.pk) as row:
        if not row.is_reserved(database_now()):
            raise RunNotAllowed(f"{row.name} is not reserved.")
        claims.clear_reservation(row)
        _save(row, user, claims.RESERVATION)
    return row


@retried
def change_environment(*, environment: TestEnvironment, user: Any, **changes: Any) -> TestEnvironment:
    """Set `name`, `description`, `enabled`, `project`. Where it is not enabled, no run starts and queued runs wait.

    Raises RunNotAllowed for disabling an environment with an active run, for a name that was taken meanwhile, and for a
    project that was deleted meanwhile. Raises ValueError for any other field.
    """
    if unknown := set(changes) - {"name", "description", "enabled", "project"}:
        raise ValueError(f"Not to be set on an environment: {', '.join(sorted(unknown))}.")
    try:
        return _change(environment, user, changes)
    except IntegrityError as error:  # found at the commit
        raise RunNotAllowed("The name was taken, or the project deleted, meanwhile.") from error


def _change(environment: TestEnvironment, user: Any, changes: dict[str, Any]) -> TestEnvironment:
    with claims.locked(environment.pk) as row:
        active = row.runs.running().first()
        if changes.get("enabled") is False and row.enabled and active is not None:
            raise RunNotAllowed(f"Run {active.pk} is active in {row.name}: wait until it ends, or cancel it.")
        found = [name for name, value in changes.items() if getattr(row, name) != value]
        for name in found:
            setattr(row, name, changes[name])
        if found:
            _save(row, user, found)
    return row


def _check(files: Sequence[Snapshot], wall_seconds: int | None) -> None:
    names = {(file.root, file.path) for file in files}
    if not files:
        raise RunNotAllowed("Choose at least one test file.")
    if len(names) < len(files):
        raise RunNotAllowed("The same file is listed twice.")
    if len({file.root == Root.PROJECT for file in files}) > 1:
        raise RunNotAllowed("Opsroom's own tests need a run of their own: choose them alone, or only others.")
    if len(files) > MAX_FILES or sum(len(file.content) for file in files) > MAX_BYTES:
        raise RunNotAllowed(_too_much(files))
    if wall_seconds is not None and not 0 < wall_seconds <= settings.TESTRUN_MAX_SECONDS:
        raise InvalidTimeLimit(f"A run may take from 1 to {settings.TESTRUN_MAX_SECONDS} seconds.")


def _too_much(files: Sequence[Snapshot]) -> str:
    words = f"A run has {MAX_FILES} files and {MAX_BYTES // 2**20} MiB at most."
    if any(file.comes_along for file in files):
        size = sum(len(file.content) for file in files) / 2**20
        words += f" With the files included from their folders these are {len(files)} files and {size:.1f} MiB."
    return words


def _failed_of(run: TestRun) -> list[str]:
    """Return the pytest selection that reruns all tests of a run that did not pass."""
    failed = run.results.filter(outcome__in=TestResult.FAILURES).values_list("nodeid", flat=True)
    selection = list(dict.fromkeys(selection_for(nodeid) for nodeid in failed))
    if not selection:
        raise RunNotAllowed(f"No test of run {run.pk} failed.")
    if any(STARS in chosen for chosen in selection):
        raise RunNotAllowed(f"A failed test of run {run.pk} is in a file whose name is a secret: rerun all of it.")
    return selection


def _enqueue_once(run: TestRun, files: Sequence[Snapshot]) -> TestRun:
    """Queue a run, unless the same request has queued it already."""
    run.request_key = run.request_key and uuid5(run.request_key, _request_content(run, files))
    try:
        return _enqueue(run, files)
    except IntegrityError as error:  # found at the commit
        if "foreign key" not in str(error):
            raise
        raise RunNotAllowed(
            "The run that was to be run again, or its user's account, was deleted meanwhile."
        ) from error


@retried
def _enqueue(run: TestRun, files: Sequence[Snapshot]) -> TestRun:
    with transaction.atomic():
        quotas.lock_requests_of(run.created_by_id)
        with claims.locked(run.environment_id):  # this serializes two deliveries of one click
            made = run.request_key and TestRun.objects.filter(request_key=run.request_key).first()
            if not made:
                quotas.check(run, sum(len(file.content) for file in files))
            return made or claims.enqueue(run, files)


def _request_content(run: TestRun, files: Sequence[Snapshot]) -> str:
    """Return the content of the request as one line: a changed request with the same key is a different run."""
    options = [getattr(run, name) for name in TestRun.OPTIONS]
    contents = [f"{file.root}/{file.path} {file.sha256}" for file in files]
    return repr([run.created_by_id, run.requested_by, run.rerun_of_id, *options, *contents])


def _save(row: TestEnvironment, user: Any, fields: list[str]) -> None:
    row._history_user = user  # type: ignore[attr-defined]
    row.save(update_fields=fields)
    realtime.environment_updated(row)
    claims.wake_worker(row.pk)
