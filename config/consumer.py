"""The worker's consumer without Celery's delayed delivery.

With quorum queues Celery declares 28 queues, `celery_delayed_0` to `celery_delayed_27`, for tasks with an ETA or a
countdown. Opsroom has no such task: what is due later is a row with a time, which a sweeper finds.
"""

from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery

_DELAYED = f"{DelayedDelivery.__module__}:{DelayedDelivery.__name__}"


class ConsumerWithoutDelays(Consumer):
    """Celery's consumer, which declares the queues of `config/celery.py` and no others."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc, valid-type]  # a variable in the stubs
        default_steps = [step for step in Consumer.Blueprint.default_steps if step != _DELAYED]
