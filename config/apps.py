from django.apps import AppConfig


class OpsroomConfig(AppConfig):
    """The composition root: its templates, the demo data, the dashboard."""

    name = "config"
    verbose_name = "Opsroom"

    def ready(self) -> None:
        from chats import day  # needs the models, as reports do, which are loaded by now

        # The default Celery app of every process, web included: without it a wake-up has no broker.
        from config import celery  # noqa: F401
        from projects import reports

        reports.register("Chats", day.count)
