from config.data import retention
from core.bounded_tasks import bounded_task


@bounded_task(time_limit=120)
def delete_old_rows() -> None:
    """Delete what is older than its retention setting."""
    retention.retain()
