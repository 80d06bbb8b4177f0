"""The worker's Celery consumer: without delayed delivery, and with progress reports while the broker is unreachable.

With quorum queues Celery declares 28 queues, `celery_delayed_0` to `celery_delayed_27`, for tasks with an ETA or a
countdown. Opsroom has no such task: later work is a row with a due time, which a sweeper finds.

While Celery tries to connect, no timer of the consumer's loop fires. A worker that is connecting is healthy, and a new
one would not help, so it keeps beating. But a single attempt has a time limit (CONNECT_TIMEOUT).
"""

from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from config.processes.watchdog_client import CONNECT_TIMEOUT, watchdog

MAX_RETRY_INTERVAL = 4  # seconds between attempts: beat, worker and runner wait for the broker one after the other
_DELAYED = f"{DelayedDelivery.__module__}:{DelayedDelivery.__name__}"


class SteadyConsumer(Consumer):
    """Celery's consumer, which declares the queues of `config/celery.py` and no others."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a variable in the stubs
        default_steps = [step for step in Consumer.Blueprint.default_steps if step != _DELAYED]

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes. Celery calls `callback` at each attempt."""
        connect = conn.ensure_connection

        def beating(errback: Any, max_retries: Any = None, *, callback: Any = None, **options: Any) -> Any:
            with watchdog.reporting_progress(CONNECT_TIMEOUT) as attempt:

                def meanwhile() -> None:
                    attempt()
                    if callback is not None:
                        callback()

                return connect(errback, max_retries, interval_max=MAX_RETRY_INTERVAL, callback=meanwhile, **options)

        conn.ensure_connection = beating
        try:
            return super().ensure_connected(conn)
        finally:
            del conn.ensure_connection
