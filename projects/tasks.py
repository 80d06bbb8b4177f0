from core.bounded_tasks import bounded_task
from core.list_cache import entries
from projects import reminders, reports


@bounded_task(10)
def settle_lists() -> None:
    """Replace the generation of the lists, for a process that could not reach Redis."""
    entries.settle()


@bounded_task(180)  # the last mail may take as long as its server likes
def remind() -> None:
    """Send the reminders that are due."""
    reminders.send_due()


@bounded_task(180)
def report() -> None:
    """Make today's report if its hour has come and nobody has; mail it."""
    reports.run_daily()
