"""Progress monitoring of a Celery worker, in its main process (config/processes/watchdog_client.py).

A timer of the consumer's loop reports progress, so that stops with the loop: a stopped process, a deadlock, a pool
with a broken pipe. If the loop runs but the pool does no work, this process gives up at once:

1. A task waits for STUCK_TIMEOUT seconds although the pool has a free place: the pool process that received it is
   stopped or deadlocked.
2. A task runs for STUCK_TIMEOUT seconds beyond its hard time limit: the pool process could not be killed, or not
   replaced.
3. An app reports that its work in this process is stuck (`worker_problem` in core/registry.py).

A pool process that is stopped may hold locks in Postgres. On Linux it is killed after STOPPED_TIMEOUT seconds, and the
pool replaces it. Seconds in which this process itself did not run are not counted. While the broker is unreachable, the
consumer beats at each attempt to reconnect (config/processes/consumer.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state

from config.processes.heartbeats import remove_heartbeat, write_heartbeat_soon
from config.processes.watchdog_client import PROGRESS_INTERVAL, RunningTime, watchdog
from core.registry import all_apps

log = structlog.get_logger(__name__)

STUCK_TIMEOUT = 15.0  # seconds
STOPPED_TIMEOUT = 10.0  # seconds


class ProgressStep(bootsteps.StartStopStep):
    """Celery boot step that beats while this worker makes progress."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **options: Any) -> None:
        self.time = RunningTime()
        self.running: dict[str, float] = {}  # start of each running task, by its id
        self.waiting: dict[str, float] = {}  # by task id: since when it waits although the pool has a free place
        self.stopped: dict[int, float] = {}  # when a pool process was first seen stopped, by its pid
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        self.kind = kind_of(worker)
        self.look(worker)
        worker.timer.call_repeatedly(PROGRESS_INTERVAL, self.look, (worker,))

    def stop(self, worker: Any) -> None:
        remove_heartbeat(self.kind)

    def look(self, worker: Any) -> None:
        """Beat, unless the pool does no work."""
        now = self.time.read()
        self.end_stopped(worker, now)
        if (problem := self.problem(worker, now)) is not None:
            log.error("worker_stuck", problem=problem)
            watchdog.request_restart()
        elif watchdog.report_progress():
            write_heartbeat_soon(self.kind)

    def problem(self, worker: Any, now: float) -> str | None:
        """Return why this worker makes no progress, as text; None if it does."""
        if problem := next(filter(None, (app.worker_problem() for app in all_apps())), None):
            return problem
        running = list(state.active_requests)
        self.running = {request.id: self.running.get(request.id, now) for request in running}
        for request in running:
            limit, seconds = request.time_limits[0] or request.task.time_limit, now - self.running[request.id]
            if limit and worker.pool.signal_safe and seconds > limit + STUCK_TIMEOUT:
                return f"{request.name} runs for {seconds:.0f} s, its limit is {limit} s"
        waiting = [request for request in list(state.reserved_requests) if request not in state.active_requests]
        if len(running) >= worker.pool.num_processes:
            waiting = []  # the pool is full, so waiting is normal
        self.waiting = {request.id: self.waiting.get(request.id, now) for request in waiting}
        for request in waiting:
            if now - self.waiting[request.id] > STUCK_TIMEOUT:
                return f"{request.name} waits for a pool that has room"
        return None

    def end_stopped(self, worker: Any, now: float) -> None:
        """Kill pool processes that have been stopped for STOPPED_TIMEOUT seconds. The pool replaces them."""
        pool = getattr(worker.pool, "_pool", None)  # a pool of threads has no such attribute
        pids = [process.pid for process in pool._pool] if pool else []
        self.stopped = {pid: self.stopped.get(pid, now) for pid in pids if is_stopped(pid)}
        for pid, since in self.stopped.items():
            if now - since > STOPPED_TIMEOUT:
                log.error("pool_process_stopped", pid=pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def kind_of(worker: Any) -> str:
    return "runner" if "testruns" in worker.app.amqp.queues.consume_from else "worker"


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal or a debugger (Linux only)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
