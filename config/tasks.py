from config.signs import leave_sign
from live.tasking import bounded_task


@bounded_task(10)
def tick() -> None:
    """The way beat → broker → worker is open: sent by beat every few seconds, seen here."""
    leave_sign("beat")
