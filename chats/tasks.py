from chats import files, services
from chats.broadcasts.fanout import run
from chats.broadcasts.prepare import prepare as prepare_broadcast
from chats.models import Broadcast
from core.bounded_tasks import bounded_task
from core.wake import wake

SLICE = 20.0  # seconds of fan-out in one task, so that limits hold and other broadcasts get their turn


@bounded_task(60)
def prepare(broadcast_id: int) -> None:
    """Download and freeze; then call as many workers as may share the fan-out."""
    broadcast = Broadcast.objects.filter(pk=broadcast_id).first()
    if broadcast is not None and prepare_broadcast(broadcast):
        services.call_workers(broadcast)


@bounded_task(60)
def fan_out(broadcast_id: int) -> None:
    """Send for a while; if there is more, let the queue's next task go first."""
    broadcast = Broadcast.objects.sending().filter(pk=broadcast_id).first()
    if broadcast is not None and run(broadcast, seconds=SLICE):
        wake(services.FAN_OUT, broadcast_id)


@bounded_task(30)
def sweep() -> None:
    """Do what no message announced: broadcasts that are due, queued or being sent by nobody."""
    services.sweep_broadcasts()


@bounded_task(120)
def sweep_files() -> None:
    """Delete some of the stored files that no row refers to."""
    files.sweep()
