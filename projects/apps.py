from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_delete, post_save

from live import topics


class ProjectsConfig(AppConfig):
    """Projects, tasks, comments; reminders and the daily report; the list cache."""

    name = "projects"

    def ready(self) -> None:
        topics.register("projects", "projects.view_task")
        topics.register("project", "projects.view_task")
        from projects import list_cache  # needs the models, which are loaded by now

        for signal in (post_save, post_delete):
            signal.connect(list_cache.people_changed, settings.AUTH_USER_MODEL, dispatch_uid=f"lists {signal}")
