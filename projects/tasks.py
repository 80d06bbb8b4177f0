from core.bounded_tasks import bounded_task
from core.list_cache import entries
from projects import reminders, reports


@bounded_task(10)
def retry_invalidation() -> None:
    """Renew the list cache's generation on behalf of a process that could not reach Redis."""
    entries.settle()


@bounded_task(180)  # one mail may take as long as the mail server allows
def send_reminders() -> None:
    """Send the reminders that are due."""
    reminders.send_due()


@bounded_task(180)
def send_daily_report() -> None:
    """Generate today's report if it is due and missing, and mail it."""
    reports.run_daily()
