from django.apps import AppConfig, apps
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate
from django_structlog import signals

from config import logs
from config.monitoring import disk
from config.request_ids import add_duration
from config.roles import create_missing
from core.http.client_ip import bind_address
from core.registry import App, FrontPageCard, ScheduledTask, register


class OpsroomConfig(AppConfig):
    """Composition root: connects the apps, and contains templates, demo data and dashboard."""

    name = "config"
    verbose_name = "Opsroom"

    def ready(self) -> None:
        for label in ("auth", "accounts", "axes", "django_celery_beat"):  # one group of the navigation
            apps.get_app_config(label).verbose_name = "Administration"
        # The default Celery app of every process, including web: without it, a wake-up has no broker.
        from config import celery  # noqa: F401
        from config.dashboard import health  # imported here: it needs the loaded models
        from config.pages.my_access import note_login

        register(
            "config",
            App(
                cards=[FrontPageCard("health", 80, "card-side card-tall", health, is_loaded_later=True)],
                schedule=[ScheduledTask("retain", "config.tasks.delete_old_rows", every=3_600, expires=600)],
            ),
        )
        disk.watch()
        post_migrate.connect(create_missing, dispatch_uid="roles")  # after auth's receiver, which creates permissions
        signals.bind_extra_request_metadata.connect(bind_address, dispatch_uid="client address")
        signals.bind_extra_request_metadata.connect(logs.mark, dispatch_uid="logged once")
        for ended in (signals.bind_extra_request_finished_metadata, signals.bind_extra_request_failed_metadata):
            ended.connect(add_duration, dispatch_uid="duration")
        user_logged_in.connect(note_login, dispatch_uid="note login")
