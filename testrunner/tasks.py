from typing import Any

from celery import current_task, shared_task
from celery.signals import worker_init, worker_shutting_down

from core.bounded_tasks import bounded_task
from testrunner.queue import sweeper
from testrunner.queue.wakeups import WakeUp
from testrunner.records import failure_tasks, retention
from testrunner.sandbox import isolation
from testrunner.worker import runner


@shared_task(base=WakeUp)
def run_tests(environment_id: int) -> None:
    """Execute runs until none can start now, in any environment: see claims.py. The argument only labels
    the wake-up.
    """
    runner.execute_runs(current_task.request.hostname or "somewhere")


@bounded_task(30)
def sweep_runs() -> None:
    """Handle events that are not announced: dead workers, lost wake-ups, expired reservations, tasks that are due."""
    sweeper.sweep()
    sweeper.run_step(failure_tasks.sweep)


@bounded_task(60)
def update_failure_tasks(environment_id: int) -> None:
    """Open, comment on and complete the tasks of tests that fail, or no longer do, in this environment."""
    failure_tasks.update_tasks(environment_id)


@bounded_task(180)
def delete_old_logs() -> None:
    """Remove old logs."""
    retention.delete_old_logs()


@worker_shutting_down.connect
def _stop_soon(**_: Any) -> None:
    """Limit the time that a warm shutdown waits for active runs."""
    runner.stop_soon()


@worker_init.connect
def _keep_secrets(**_: Any) -> None:
    """Prevent tests from reading the worker's environment, which contains Opsroom's secret keys."""
    isolation.make_undumpable()
