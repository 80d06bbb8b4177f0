from django.apps import AppConfig

from core.registry import App, ScheduledTask, register


class LiveConfig(AppConfig):
    """Live messages: an outbox, and a hub that sends them to WebSockets."""

    name = "live"

    def ready(self) -> None:
        task = ScheduledTask("clean up live", "live.tasks.delete_old_messages", every=600, expires=600)
        register("live", App(schedule=[task]))
