"""Whether a Celery worker works: the proof of progress of its main process (config/processes/pulse.py).

The pulse beats from a timer of the consumer's loop, so it stops with the loop: a stopped process, a deadlock, a pool
whose pipe is broken. Where the loop comes round and the pool does nothing, this process gives up at once:

1. A task waits for STUCK seconds although not every place of the pool is taken: the pool process that has it is stopped
   or deadlocked.
2. A task runs for STUCK seconds beyond its hard time limit: the pool process could not be killed, or not replaced.
3. All test runs of a runner go on long after their limits of time (testrunner/queue/leases.py): its threads are stuck.

A pool process that is stopped while it holds locks in Postgres is killed after STOPPED seconds, on Linux, and replaced
by the pool. Seconds in which this process did not run itself are not counted. While the broker is away the consumer
beats at each attempt to reconnect (config/processes/consumer.py).
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

from config.processes.heartbeats import leave_sign_soon, take_back
from config.processes.pulse import EVERY, RunningTime, pulse
from testrunner.queue.leases import keeper

log = structlog.get_logger(__name__)

STUCK = 15.0  # seconds
STOPPED = 10.0  # seconds


class Working(bootsteps.StartStopStep):
    """Beat while this worker works."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **options: Any) -> None:
        self.time = RunningTime()
        self.running: dict[str, float] = {}  # since when a task runs, by its id
        self.waiting: dict[str, float] = {}  # since when a task waits although there is room, by its id
        self.stopped: dict[int, float] = {}  # when a pool process was first seen stopped, by its pid
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        self.kind = kind_of(worker)
        self.look(worker)
        worker.timer.call_repeatedly(EVERY, self.look, (worker,))

    def stop(self, worker: Any) -> None:
        take_back(self.kind)

    def look(self, worker: Any) -> None:
        """Beat, unless the pool does nothing."""
        now = self.time.read()
        self.end_stopped(worker, now)
        if (problem := self.problem(worker, now)) is not None:
            log.error("worker_stuck", problem=problem)
            pulse.give_up()
        elif pulse.beat():
            leave_sign_soon(self.kind)

    def problem(self, worker: Any, now: float) -> str | None:
        """In words, why this worker does nothing; None where it works."""
        if keeper.is_stuck():
            return "no test run comes to its end"
        running = list(state.active_requests)
        self.running = {request.id: self.running.get(request.id, now) for request in running}
        for request in running:
            limit, seconds = request.time_limits[0] or request.task.time_limit, now - self.running[request.id]
            if limit and worker.pool.signal_safe and seconds > limit + STUCK:
                return f"{request.name} runs for {seconds:.0f} s, its limit is {limit} s"
        waiting = [request for request in list(state.reserved_requests) if request not in state.active_requests]
        if len(running) >= worker.pool.num_processes:
            waiting = []  # it is their turn later
        self.waiting = {request.id: self.waiting.get(request.id, now) for request in waiting}
        for request in waiting:
            if now - self.waiting[request.id] > STUCK:
                return f"{request.name} waits for a pool that has room"
        return None

    def end_stopped(self, worker: Any, now: float) -> None:
        """Kill the pool processes that have been stopped for a while. The pool replaces them."""
        pool = getattr(worker.pool, "_pool", None)  # a pool of threads has none
        pids = [process.pid for process in pool._pool] if pool else []
        self.stopped = {pid: self.stopped.get(pid, now) for pid in pids if is_stopped(pid)}
        for pid, since in self.stopped.items():
            if now - since > STOPPED:
                log.error("pool_process_stopped", pid=pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def kind_of(worker: Any) -> str:
    return "runner" if "testruns" in worker.app.amqp.queues.consume_from else "worker"


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger, as far as Linux says so."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
