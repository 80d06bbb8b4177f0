from core.bounded_tasks import bounded_task
from live.numbering import forget_old


@bounded_task(90)
def clean_up() -> None:
    """Delete old messages; a client that comes back after longer is told to reload."""
    forget_old()
