"""Worker loop: claims a run, executes it, records its outcome, and continues with the next run.

1. Claim the run that has waited longest (testrunner/queue/claims.py). If another run could start as well, wake another
   worker.
2. Keep the lease (testrunner/queue/leases.py) while the executor runs the tests, and write its output as it arrives.
3. End the run and start over. So the next run starts without a message, a broker or a timer. A message that finds no
   run to start has no effect.

A worker that is asked to stop lets its runs continue for a moment. Then it ends them as lost, at once rather than when
their leases expire. They are not restarted automatically, because it is unknown what half a run has left in its
environment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from django.conf import settings

from testrunner.models import TestRun
from testrunner.queue import claims, leases
from testrunner.queue.leases import Lease, LeaseLost, renewer
from testrunner.records import failure_tasks
from testrunner.sandbox import executor
from testrunner.sandbox.boottime import boottime
from testrunner.sandbox.isolation import RunLimits, mode_named
from testrunner.sandbox.redaction import Redactor
from testrunner.sandbox.results.outcome import Finished, Outcome, Stop
from testrunner.sandbox.run_spec import RunSpec, TestBytes
from testrunner.worker.result_writer import ResultWriter, retry_until_lease_lost

log = structlog.get_logger(__name__)

STOPPED = "The worker was stopped while the run was active."
Execute = Callable[..., Finished]


class _Stop:
    """When this process was asked to stop, or None. Set in a signal handler, so it uses no lock and nothing that could
    block.
    """

    at: float | None = None


def stop_soon() -> None:
    """Claim no more runs; let the active ones continue for TESTRUN_STOP_SECONDS."""
    _Stop.at = boottime()


def execute_runs(worker: str, execute: Execute | None = None) -> int:
    """Execute runs until none can start now; return their number."""
    done = 0
    while _Stop.at is None:
        claimed_at = boottime()
        run = claims.claim_next(worker)
        if run is None:
            break
        assert run.lease_token is not None  # noqa: S101 - a claimed run has a token
        if others := claims.startable():
            claims.wake_worker(others[0][1])
        execute_run(run, Lease(run.pk, run.lease_token, claimed_at), execute or executor.execute)
        done += 1
    return done


def execute_run(run: TestRun, lease: Lease, execute: Execute) -> None:
    """Execute a run that this worker has claimed, and record its outcome unless the lease is lost."""
    lease.overdue_at = boottime() + run.wall_seconds + leases.MAX_OVERTIME
    try:
        with renewer.renewing(lease):
            try:
                _execute_and_record(run, lease, execute)
            except LeaseLost:
                raise
            except BaseException as error:  # any error: the run must not seem to be still running
                log.exception("run_not_recorded", run=run.pk)
                reason = f"Its outcome could not be stored ({type(error).__name__}): see the worker's log."
                retry_until_lease_lost(lease, lambda: _end_as_error(run, lease, reason))
                if not isinstance(error, Exception):
                    raise
    except LeaseLost:
        log.warning("lease_lost", run=run.pk, token=lease.token)


def _execute_and_record(run: TestRun, lease: Lease, execute: Execute) -> None:
    writer = ResultWriter(run, lease)
    finished = _executed(_spec(run, lease), lease, execute, writer)
    retry_until_lease_lost(lease, lambda: _end(run, lease, finished, writer))


def _end_as_error(run: TestRun, lease: Lease, reason: str) -> None:
    """Record only that the run has ended, because the other data may be what cannot be written."""
    claims.end(run, lease.condition, TestRun.Status.ERROR, reason=reason)


def _spec(run: TestRun, lease: Lease) -> RunSpec:
    base = Path(settings.BASE_DIR)
    variables = list(run.environment.variables.all())
    environment = {variable.name: variable.value for variable in variables}
    environment |= {"TEST_ENVIRONMENT_ID": str(run.environment_id), "TEST_ENVIRONMENT_NAME": run.environment.name}
    return RunSpec(
        files=[
            TestBytes(f"{file.root}/{file.path}", bytes(file.content), file.comes_along) for file in run.files.all()
        ],
        root=Path(settings.TESTRUN_DIR),
        run_name=f"run-{run.pk}-{lease.token}",
        environment=environment,
        selection=run.selection,
        secrets=[variable.value for variable in variables if variable.secret],
        limits=RunLimits(wall_seconds=run.wall_seconds),
        lease_seconds=lease.seconds_left,
        min_mode=mode_named(settings.TESTRUN_MIN_ISOLATION),
        hidden=[base, base / ".env", base / ".git", *map(Path, _own_directories())],
        project=base,
    )


def _executed(spec: RunSpec, lease: Lease, execute: Execute, writer: ResultWriter) -> Finished:
    def should_stop() -> Stop | None:
        writer.flush_if_due()
        return stop_request(lease)

    try:
        finished = execute(
            spec,
            on_log=writer.log,
            on_result=writer.result,
            should_stop=should_stop,
            on_started=lambda supervisor: lease.bind_to_run(supervisor.extend_lease),
        )
        writer.flush()
        return finished
    except LeaseLost:
        raise
    except Exception as error:  # any error: the run's processes are gone, and users wait for an outcome
        log.exception("run_not_executed", run=lease.run_id)
        writer.flush_or_log()
        problem = Redactor(spec.secrets).redact(f"{type(error).__name__}: {error}")
        return Finished(Outcome.ERROR, f"The test runner could not run it: {problem}", None)


def stop_request(lease: Lease) -> Stop | None:
    """Return the decision if the run must stop now: it was cancelled, or the worker stops. Raises LeaseLost."""
    if lease.is_lost:
        raise LeaseLost
    if _Stop.at is not None and boottime() - _Stop.at >= settings.TESTRUN_STOP_SECONDS:
        return Stop(Outcome.LOST, STOPPED)
    return Stop(Outcome.CANCELLED, lease.cancel_reason) if lease.cancel_reason else None


def _own_directories() -> list[str]:
    """Return Opsroom's own folders, wherever they are. Tests must not see their contents."""
    own = [settings.HOME, settings.MEDIA_ROOT, settings.STATIC_ROOT, settings.TEST_UPLOADS_DIR, settings.TESTRUN_DIR]
    return [str(folder) for folder in own if folder]


def isolation() -> str:
    """Return the isolation of the newest started run as text, for the health page."""
    newest = TestRun.objects.exclude(sandbox="").order_by("-id").values_list("pk", "sandbox").first()
    return f"{newest[1]} (run {newest[0]})" if newest else "no run yet"


def _end(run: TestRun, lease: Lease, finished: Finished, writer: ResultWriter) -> None:
    counts = writer.totals()
    status = TestRun.Status(finished.outcome.value)
    written = claims.end(
        run,
        lease.condition,
        status,
        **counts,
        reason=finished.reason[:500],
        exit_code=finished.exit_code,
        sandbox=finished.sandbox[:200],
        junit_xml=finished.junit_xml,
        log_dropped=finished.log_dropped,
        tasks_due=failure_tasks.are_due(run, status, set_ups_failed=finished.all_ran and counts["errors"] > 0),
    )
    if run.tasks_due:
        failure_tasks.wake_worker(run.environment_id)
    if not written and not _was_written(run, lease, status):
        raise LeaseLost


def _was_written(run: TestRun, lease: Lease, status: TestRun.Status) -> bool:
    """Whether our own commit succeeded although its confirmation was lost."""
    return TestRun.objects.filter(pk=run.pk, lease_token=lease.token, status=status).exists()
