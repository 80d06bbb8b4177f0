from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_delete, post_save, pre_delete

from core.registry import App, Button, FrontPageCard, Page, ScheduledTask, register
from live import topics


class ProjectsConfig(AppConfig):
    """App config: projects, tasks, comments, reminders, the daily report and the list cache."""

    name = "projects"

    def ready(self) -> None:
        topics.register("projects", "projects.view_task")
        topics.register("project", "projects.view_task")
        for signal in (post_save, post_delete):
            signal.connect(_invalidate_lists, settings.AUTH_USER_MODEL, dispatch_uid=f"lists {signal}")
        pre_delete.connect(_unassign_user, settings.AUTH_USER_MODEL, dispatch_uid="what was theirs")
        from core.data.retention import Rule
        from projects.admin import front_page, mails
        from projects.demo.content import create_demo_projects

        register(
            "projects",
            App(
                title="Projects",
                pages=[
                    Page(
                        "Projects",
                        "view_kanban",
                        "admin:projects_project_changelist",
                        "projects.view_project",
                        except_in=("/cache/", "/mails/"),
                    ),
                    Page(
                        "Tasks",
                        "task_alt",
                        "admin:projects_task_changelist",
                        "projects.view_task",
                        except_in=("/calendar/",),
                    ),
                    Page("Calendar", "calendar_month", "admin:projects_task_calendar", "projects.view_task"),
                    Page("Reports", "summarize", "admin:projects_report_changelist", "projects.view_report"),
                    Page("Reminders", "notifications", "admin:projects_reminder_changelist", "projects.view_reminder"),
                    Page("Outgoing e-mail", "mail", "admin:projects_project_mails", mails.may_read),
                ],
                administration=[
                    Page(
                        "List cache",
                        "cached",
                        "admin:projects_project_cache",
                        lambda request: request.user.is_superuser,
                    ),
                ],
                cards=[
                    FrontPageCard("due", 40, "card-main card-tall", front_page.due),
                    FrontPageCard("report", 50, "card-side", front_page.report),
                ],
                buttons=[Button("New task", "add_task", "admin:projects_task_add", "projects.add_task")],
                search=[front_page.search_projects, front_page.search_tasks],
                urls="projects.urls",
                api_tags={
                    "calendar": "The address of a user's calendar of due dates.",
                    "projects": "Projects.",
                    "reports": "Daily reports.",
                    "tasks": "Tasks and their comments.",
                },
                # Both find all due work, however late they run, so beat needs no exact time of day. Frequent enough
                # that the work of a killed worker is resumed within 45 s.
                schedule=[
                    ScheduledTask("remind", "projects.tasks.send_reminders", every=30, expires=30),
                    ScheduledTask("daily report", "projects.tasks.send_daily_report", every=30, expires=30),
                ],
                retention=[
                    Rule("reminders", "projects_reminder", "due_date", "REMINDER_DAYS", where="status <> 'pending'"),
                ],
                create_demo=create_demo_projects,
            ),
        )


def _invalidate_lists(*, update_fields: Any = None, **_: Any) -> None:
    """Signal receiver for changed users, whose names lists show. A login changes only `last_login`."""
    from core.list_cache import entries  # imported here because it needs the models to be loaded

    if update_fields is None or set(update_fields) != {"last_login"}:
        entries.invalidate()


def _unassign_user(instance: Any, **_: Any) -> None:
    """Signal receiver for deleted users, needed because another app deletes the accounts."""
    from projects import services

    services.unassign_user(person=instance)
