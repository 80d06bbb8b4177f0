from core.bounded_tasks import bounded_task
from projects import reminders, reports


@bounded_task(180)  # one mail may take as long as the mail server allows
def send_reminders() -> None:
    """Send the reminders that are due."""
    reminders.send_due()


@bounded_task(180)
def send_daily_report() -> None:
    """Generate today's report if it is due and missing, and mail it."""
    reports.run_daily()
