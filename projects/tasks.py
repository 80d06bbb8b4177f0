from celery import shared_task

from projects import list_cache


@shared_task(soft_time_limit=5, time_limit=10)
def settle_lists() -> None:
    """Replace the generation of the lists, for a process that could not reach Redis."""
    list_cache.settle()
