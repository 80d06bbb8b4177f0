"""When Django's threads count as stuck. test_process_chaos.py breaks real web processes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.processes.watchdog_client import MAX_COUNTED_SECONDS, PROGRESS_INTERVAL
from config.server.lifespan import STUCK_TIMEOUT, RequestProgress

THREADS = 2


class Pool:
    """Threads with requests that end when `may_end` is set, and the progress monitoring of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.may_end = threading.Event()
        self.progress = RequestProgress(self._application, THREADS, clock=lambda: self.now)
        self.threads = ThreadPoolExecutor(THREADS)

    def _application(self, environ: object, start_response: object) -> list[bytes]:
        self.may_end.wait()
        return []

    def begin(self, requests: int) -> None:
        before = len(self.progress.running)
        for _ in range(requests):
            self.threads.submit(self._request)
        while len(self.progress.running) < before + requests:
            pass

    def _request(self) -> None:
        self.progress({}, None).close()

    def is_stuck_after(self, seconds: float) -> bool:
        """Advance the clock, checking the pool at intervals; return whether it is stuck."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + PROGRESS_INTERVAL, until)
            self.progress.is_stuck()
        return self.progress.is_stuck()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.may_end.set()
    pool.threads.shutdown()


def test_threads_that_are_all_busy_without_a_step_are_stuck(pool):
    pool.begin(THREADS)

    assert not pool.is_stuck_after(STUCK_TIMEOUT - PROGRESS_INTERVAL)
    assert pool.is_stuck_after(2 * PROGRESS_INTERVAL)


def test_a_pool_with_a_free_thread_is_not_stuck(pool):
    pool.begin(THREADS - 1)

    assert not pool.is_stuck_after(10 * STUCK_TIMEOUT)


def test_a_pool_that_was_idle_for_long_is_not_stuck_when_requests_come_for_all_threads_at_once(pool):
    assert not pool.is_stuck_after(10 * STUCK_TIMEOUT)

    pool.begin(THREADS)

    assert not pool.is_stuck_after(PROGRESS_INTERVAL)
    assert pool.is_stuck_after(STUCK_TIMEOUT + PROGRESS_INTERVAL)


def test_seconds_in_which_the_process_itself_did_not_run_are_not_counted(pool):
    pool.begin(THREADS)
    assert not pool.is_stuck_after(PROGRESS_INTERVAL)

    pool.now += 3_600  # stopped, or suspended with its machine

    assert not pool.is_stuck_after(PROGRESS_INTERVAL)
    assert not pool.is_stuck_after(STUCK_TIMEOUT - MAX_COUNTED_SECONDS - 3 * PROGRESS_INTERVAL)
