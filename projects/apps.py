from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_delete, post_save, pre_delete

from live import topics


class ProjectsConfig(AppConfig):
    """App config: projects, tasks, comments, reminders, the daily report and the list cache."""

    name = "projects"

    def ready(self) -> None:
        topics.register("projects", "projects.view_task")
        topics.register("project", "projects.view_task")
        from core.list_cache import entries  # imported here because it needs the models to be loaded

        for signal in (post_save, post_delete):
            signal.connect(entries.people_changed, settings.AUTH_USER_MODEL, dispatch_uid=f"lists {signal}")
        pre_delete.connect(_let_go, settings.AUTH_USER_MODEL, dispatch_uid="what was theirs")


def _let_go(instance: Any, **_: Any) -> None:
    """Signal receiver for deleted users, needed because another app deletes the accounts."""
    from projects import services

    services.let_go(person=instance)
