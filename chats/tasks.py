from chats import files, services
from chats.broadcasts import fanout, prepare
from chats.broadcasts.state_changes import FAN_OUT
from chats.models import Broadcast
from core.bounded_tasks import bounded_task
from core.wake import wake

SLICE = 20.0  # seconds of fan-out per task, so that time limits hold and other broadcasts get their share


@bounded_task(60)
def prepare_broadcast(broadcast_id: int) -> None:
    """Download the banner and freeze the audience, then wake the workers for the fan-out."""
    broadcast = Broadcast.objects.filter(pk=broadcast_id).first()
    if broadcast is not None and prepare.prepare(broadcast):
        services.wake_workers(broadcast)


@bounded_task(60)
def fan_out_broadcast(broadcast_id: int) -> None:
    """Send for SLICE seconds. If messages remain, re-enqueue behind the queue's other tasks."""
    broadcast = Broadcast.objects.sending().filter(pk=broadcast_id).first()
    if broadcast is not None and fanout.run(broadcast, seconds=SLICE):
        wake(FAN_OUT, broadcast_id)


@bounded_task(30)
def sweep_broadcasts() -> None:
    """Process broadcasts that are due, queued or being sent and that no message has announced."""
    services.sweep_broadcasts()


@bounded_task(120)
def sweep_files() -> None:
    """Delete some of the stored files that no row refers to."""
    files.sweep()
