from core.bounded_tasks import bounded_task
from core.wake import wake
from events import services
from events.notifications import delivery
from events.rejected import replay as replaying
from events.rollups import digest as digesting
from events.storage import partitions, retention


@bounded_task(40)
def digest() -> None:
    """Count the events of the batches that wait."""
    digesting.run()


@bounded_task(60)
def replay(replay_id: int) -> None:
    """Ask rejected events again for a while; if there are more, let the queue's next task go first."""
    if replaying.run(replay_id):
        wake(services.REPLAY, replay_id)


@bounded_task(20)
def sweep_replays() -> None:
    """Go on with the replays that nobody is working on."""
    services.sweep_replays()


@bounded_task(360)  # making a month may have to move its rows
def make_partitions() -> None:
    """Have the next months' partitions ready."""
    partitions.ensure_ahead()


@bounded_task(120)
def retain() -> None:
    """Delete what is older than events are kept."""
    retention.retain()


@bounded_task(40)
def notify() -> None:
    """Send the notifications that wait."""
    delivery.process()
