from core.bounded_tasks import bounded_task
from live.numbering import forget_old


@bounded_task(90)
def delete_old_messages() -> None:
    """Delete old messages. A client that reconnects later than that gets a `reload` message."""
    forget_old()
