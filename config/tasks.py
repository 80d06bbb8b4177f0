from core.bounded_tasks import bounded_task
from core.data import retention


@bounded_task(time_limit=120)
def delete_old_rows() -> None:
    """Delete what is older than its retention setting."""
    retention.retain()
