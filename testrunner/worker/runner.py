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
from testrunner.queue.leases import Lease, LeaseLost, keeper
from testrunner.records import failure_tasks
from testrunner.sandbox import executor
from testrunner.sandbox.boottime import boottime
from testrunner.sandbox.isolation import RunLimits, named_mode
from testrunner.sandbox.redaction import Mask
from testrunner.sandbox.results import junit
from testrunner.sandbox.results.outcome import Finished, Outcome
from testrunner.sandbox.results.verdict import NO_TESTS
from testrunner.worker.result_writer import ResultWriter, insist

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


def work(worker: str, execute: Execute | None = None) -> int:
    """Execute runs until none can start now; return their number."""
    done = 0
    while _Stop.at is None:
        asked = boottime()
        run = claims.claim_next(worker)
        if run is None:
            break
        assert run.lease_token is not None  # noqa: S101 - a claimed run has a token
        if others := claims.startable():
            claims.call_worker(others[0][1])
        carry_out(run, Lease(run.pk, run.lease_token, asked), execute or executor.execute)
        done += 1
    return done


def carry_out(run: TestRun, lease: Lease, execute: Execute) -> None:
    """Execute a run that this worker has claimed, and record its outcome unless the lease is lost."""
    lease.ends = boottime() + run.wall_seconds + leases.OVERTIME
    try:
        with keeper.keeping(lease):
            try:
                _carry_out(run, lease, execute)
            except LeaseLost:
                raise
            except BaseException as error:  # any error: the run must not seem to be still running
                log.exception("run_not_recorded", run=run.pk)
                reason = f"Its outcome could not be written down ({type(error).__name__}): see the worker's log."
                insist(lease, lambda: _end_as_error(run, lease, reason))
                if not isinstance(error, Exception):
                    raise
    except LeaseLost:
        log.warning("lease_lost", run=run.pk, token=lease.token)


def _carry_out(run: TestRun, lease: Lease, execute: Execute) -> None:
    environment, secrets = _variables(run)
    recorder = ResultWriter(run, lease, Mask(secrets))
    finished = _executed(run, lease, execute, environment, secrets, recorder)
    insist(lease, lambda: _end(run, lease, finished, recorder))


def _end_as_error(run: TestRun, lease: Lease, reason: str) -> None:
    """Record only that the run has ended, because the other data may be what cannot be written."""
    claims.end(run, lease.mine, TestRun.Status.ERROR, reason=reason)


def _executed(
    run: TestRun,
    lease: Lease,
    execute: Execute,
    environment: dict[str, str],
    secrets: list[str],
    recorder: ResultWriter,
) -> Finished:
    def should_stop() -> str | None:
        recorder.flush_if_due()
        return why_stop(lease)

    base = Path(settings.BASE_DIR)
    files = [
        executor.TestBytes(f"{file.root}/{file.path}", bytes(file.content), file.comes_along)
        for file in run.files.all()
    ]
    try:
        finished = execute(
            files,
            root=Path(settings.TESTRUN_DIR),
            run_name=f"run-{run.pk}-{lease.token}",
            environment=environment,
            on_log=recorder.log,
            on_result=recorder.result,
            should_stop=should_stop,
            on_started=lambda guard: lease.pass_on_to(guard.extend_lease),
            limits=RunLimits(wall_seconds=run.wall_seconds),
            selection=run.selection,
            secrets=secrets,
            hidden=[base, base / ".env", base / ".git", *map(Path, _folders())],
            project=base,
            least=named_mode(settings.TESTRUN_MIN_ISOLATION),
        )
        recorder.flush()
        return finished
    except LeaseLost:
        raise
    except Exception as error:  # any error: the run's processes are gone, and users wait for an outcome
        log.exception("run_not_executed", run=run.pk)
        recorder.flush_what_can_be()
        return Finished(Outcome.ERROR, f"The test runner could not run it: {type(error).__name__}: {error}", None)


def why_stop(lease: Lease) -> str | None:
    """Return the reason if the run must stop now: it was cancelled, or the worker stops. Raises LeaseLost."""
    if lease.is_lost:
        raise LeaseLost
    if _Stop.at is not None and boottime() - _Stop.at >= settings.TESTRUN_STOP_SECONDS:
        return STOPPED
    return lease.wish or None


def _folders() -> list[str]:
    """Return Opsroom's own folders, wherever they are. Tests must not see their contents."""
    own = [settings.HOME, settings.MEDIA_ROOT, settings.STATIC_ROOT, settings.TEST_UPLOADS_DIR, settings.TESTRUN_DIR]
    return [str(folder) for folder in own if folder]


def isolation() -> str:
    """Return the isolation of the newest started run as text, for the health page."""
    newest = TestRun.objects.exclude(sandbox="").order_by("-id").values_list("pk", "sandbox").first()
    return f"{newest[1]} (run {newest[0]})" if newest else "no run yet"


def _variables(run: TestRun) -> tuple[dict[str, str], list[str]]:
    """Return the variables that the tests see, and the values among them that are secret."""
    variables = list(run.environment.variables.all())
    seen = {variable.name: variable.value for variable in variables}
    seen |= {"TEST_ENVIRONMENT_ID": str(run.environment_id), "TEST_ENVIRONMENT_NAME": run.environment.name}
    return seen, [variable.value for variable in variables if variable.secret]


def _end(run: TestRun, lease: Lease, finished: Finished, recorder: ResultWriter) -> None:
    figures = recorder.figures()
    status, reason = verdict(finished, figures)
    mask = recorder.mask
    written = claims.end(
        run,
        lease.mine,
        status,
        **figures,
        reason=mask.text(reason)[:500],
        exit_code=finished.exit_code,
        sandbox=finished.sandbox[:200],
        junit_xml=junit.masked(finished.junit_xml, mask),
        log_dropped=finished.log_dropped,
        tasks_due=failure_tasks.are_due(run, status, set_ups_failed=finished.all_ran and figures["errors"] > 0),
    )
    if run.tasks_due:
        failure_tasks.call_worker(run.environment_id)
    if not written and not _was_written(run, lease, status):
        raise LeaseLost


def verdict(finished: Finished, counts: dict[str, int]) -> tuple[TestRun.Status, str]:
    """Return the status and reason for the run's row. A success must also be confirmed by the counts."""
    if finished.outcome == Outcome.SUCCESS:
        # files that were skipped as a whole
        all_skipped = finished.exit_code == NO_TESTS and counts["tests"] == counts["skipped"]
        exits = finished.exit_code == 0 or all_skipped
        if exits and counts["tests"] and not counts["failed"] and not counts["errors"]:
            return TestRun.Status.SUCCESS, ""
        return TestRun.Status.ERROR, "The tests' report does not fit the exit code."
    if finished.reason == STOPPED:
        return TestRun.Status.LOST, STOPPED
    return TestRun.Status(finished.outcome.value), finished.reason or f"The tests ended: {finished.outcome.value}."


def _was_written(run: TestRun, lease: Lease, status: TestRun.Status) -> bool:
    """Whether our own commit succeeded although its confirmation was lost."""
    return TestRun.objects.filter(pk=run.pk, lease_token=lease.token, status=status).exists()
