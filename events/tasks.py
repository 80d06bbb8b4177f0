from core.bounded_tasks import bounded_task
from core.wake import wake
from events import services
from events.notifications import delivery
from events.rejected import replay as replaying
from events.rollups import digest as digesting
from events.storage import partitions, retention


@bounded_task(40)
def digest_events() -> None:
    """Count the events of the waiting batches."""
    digesting.run()


@bounded_task(60)
def replay_rejected(replay_id: int) -> None:
    """Validate rejected events again for a limited time. If some are left, queue the same replay behind other tasks."""
    if replaying.run(replay_id):
        wake(services.REPLAY, replay_id)


@bounded_task(20)
def sweep_replays() -> None:
    """Continue the unfinished replays that no worker is processing."""
    services.sweep_replays()


@bounded_task(360)  # creating a month may have to move its rows out of the default partition
def make_partitions() -> None:
    """Create the partitions of the current month and the next ones where they are missing."""
    partitions.ensure_ahead()


@bounded_task(120)
def delete_old_events() -> None:
    """Delete the rows that are older than their retention period."""
    retention.retain()


@bounded_task(40)
def send_notifications() -> None:
    """Send the waiting notifications."""
    delivery.process()
