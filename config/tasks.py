from celery import shared_task

from config.signs import leave_sign


@shared_task(soft_time_limit=5, time_limit=10)
def tick() -> None:
    """The way beat → broker → worker is open: sent by beat every few seconds, seen here."""
    leave_sign("beat")
