from core.bounded_tasks import bounded_task
from core.list_cache import entries


@bounded_task(10)
def retry_invalidation() -> None:
    """Invalidate the list cache on behalf of a process that could not reach Redis."""
    entries.invalidate_now()
