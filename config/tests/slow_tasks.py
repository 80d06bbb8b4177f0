"""Celery as in config/celery.py, with additional tasks for tests: `-A config.tests.slow_tasks`."""

import time

from config.celery import app


@app.task(name="tests.sleep", time_limit=400)
def sleep(seconds: float) -> None:
    """Keep a pool process busy."""
    time.sleep(seconds)


@app.task(name="tests.end_in_the_middle", soft_time_limit=0.2)
def end_in_the_middle(seconds: float) -> None:
    """Fail with a long error at about the time of a soft time limit's signal. No task of Opsroom has such a limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    raise ValueError("x" * 200_000)
