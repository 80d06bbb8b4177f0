from celery import shared_task

from projects import list_cache, reminders, reports


@shared_task(soft_time_limit=5, time_limit=10)
def settle_lists() -> None:
    """Replace the generation of the lists, for a process that could not reach Redis."""
    list_cache.settle()


@shared_task(soft_time_limit=150, time_limit=180)  # the last mail may take as long as its server likes
def remind() -> None:
    """Send the reminders that are due."""
    reminders.send_due()


@shared_task(soft_time_limit=150, time_limit=180)
def report() -> None:
    """Make today's report if its hour has come and nobody has; mail it."""
    reports.run_daily()
