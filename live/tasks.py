from celery import shared_task

from live.sequence import forget_old


@shared_task(soft_time_limit=60, time_limit=90)
def clean_up() -> None:
    """Delete old messages; a client that comes back after longer is told to reload."""
    forget_old()
