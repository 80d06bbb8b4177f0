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
def work(environment_id: int) -> None:
    """Carry out runs until none can start now. Which environment it was woken for does not matter: see claims.py."""
    runner.work(current_task.request.hostname or "somewhere")


@bounded_task(30)
def sweep() -> None:
    """Do what nobody announced: dead workers, lost wake-ups, reservations that are over, open ends."""
    sweeper.sweep()
    sweeper.attempt(failure_tasks.sweep)


@bounded_task(60)
def settle_failures(environment_id: int) -> None:
    """Open, comment on and complete the tasks of tests that fail, or do no more."""
    failure_tasks.settle(environment_id)


@bounded_task(180)
def retain() -> None:
    """Let go of old logs."""
    retention.forget_old_logs()


@worker_shutting_down.connect
def _stop_soon(**_: Any) -> None:
    """A warm stop waits for the runs under way, which must not take for ever."""
    runner.stop_soon()


@worker_init.connect
def _keep_secrets(**_: Any) -> None:
    """A test must not read the worker's environment, where the keys of the house are."""
    isolation.make_undumpable()
