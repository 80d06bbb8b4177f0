from celery import shared_task

from events import digest as digesting


@shared_task(soft_time_limit=30, time_limit=40)
def digest() -> None:
    """Count the events of the batches that wait."""
    digesting.run()
