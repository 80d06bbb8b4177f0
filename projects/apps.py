from django.apps import AppConfig

from live import topics


class ProjectsConfig(AppConfig):
    """Projects, tasks, comments; reminders and the daily report; the list cache."""

    name = "projects"

    def ready(self) -> None:
        topics.register("projects", "projects.view_task")
        topics.register("project", "projects.view_task")
