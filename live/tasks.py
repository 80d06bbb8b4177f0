from live.sequence import forget_old
from live.tasking import bounded_task


@bounded_task(90)
def clean_up() -> None:
    """Delete old messages; a client that comes back after longer is told to reload."""
    forget_old()
