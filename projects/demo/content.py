"""Sample projects, tasks, comments and reports for a new local instance."""

from datetime import UTC, datetime, time, timedelta

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from projects import services
from projects.models import Project, Report, Task

# Title, days until the due date (None: no due date), and status.
_Plan = list[tuple[str, float | None, str]]
PENDING, STARTED, DONE = Task.Status.PENDING.value, Task.Status.IN_PROGRESS.value, Task.Status.COMPLETED.value
PLANS: dict[str, _Plan] = {
    "Spring campaign": [
        ("Agree on the message", -9, DONE), ("Book the photographer", -6, DONE), ("Choose the banners", -2, DONE),
        ("Translate the texts", -1, STARTED), ("Test the landing page on phones", 0.3, STARTED),
        ("Get legal's approval", 0.8, PENDING), ("Send the first banner to everybody", 2, PENDING),
        ("Look at the figures of the first day", 3, PENDING), ("Write the follow-up message", 5, PENDING),
        ("Thank the team", None, PENDING),
    ],
    "Checkout 2.0": [
        ("Draw the new payment step", -14, DONE), ("Agree on the event names", -10, DONE),
        ("Send checkout events from staging", -4, DONE), ("Find out why prices arrive as text", -3, STARTED),
        ("Schema for order_placed", -0.5, STARTED), ("Load test with 200 users", 0.5, PENDING),
        ("Reserve environment 17 for the regression run", 1, PENDING), ("Write the release notes", 4, PENDING),
        ("Switch on for 1 % of users", 6, PENDING), ("Remove the old code", 20, PENDING),
    ],
    "Help centre": [
        ("List the 20 most asked questions", -8, DONE), ("Write answers 1 to 10", -5, DONE),
        ("Write answers 11 to 20", -1.5, STARTED), ("Screenshots in light and dark", 0.9, PENDING),
        ("Proofread", 2.5, PENDING), ("Publish", 3.5, PENDING), ("Ask support what is missing", 10, PENDING),
        ("Search that forgives typing errors", None, PENDING), ("Videos?", None, PENDING),
        ("Measure how many still write to us", 14, PENDING),
    ],
    "Office move": [
        ("Measure the rooms", -20, DONE), ("Choose a mover", -12, DONE), ("Tell the bank", -2, PENDING),
        ("Order desks", 0.6, STARTED), ("Label every cable", 7, PENDING), ("Change the address everywhere", 9, PENDING),
        ("Give the keys back", 15, PENDING), ("House-warming party", 21, PENDING), ("Plants", None, PENDING),
        ("A better coffee machine", None, STARTED),
    ],
}  # fmt: skip


@transaction.atomic
def create_demo_projects() -> None:
    """Create projects with about 40 tasks, dated relative to today, and the reports of the last 13 days.

    The demo user "planner" owns the projects and is the author of their history.

    Does nothing if any project exists.
    """
    if Project.objects.exists():
        return
    planner = get_user_model().objects.filter(username="planner").first()
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    tasks = []
    for name, plan in PLANS.items():
        project = services.create_project(name=name, owner=planner, actor=planner)
        for number, (title, days, status) in enumerate(plan):
            due = None if days is None else now + timedelta(days=days)
            done = min(due or now, now) - timedelta(hours=number) if status == DONE else None
            tasks.append(
                Task(
                    project=project, title=title, status=status, due_date=due, completed_at=done,
                    assignee=planner if number % 2 else None,
                    priority=(Task.Priority.NORMAL, Task.Priority.HIGH, Task.Priority.LOW)[number % 3],
                    created_at=now - timedelta(days=30),
                )
            )  # fmt: skip
    made = Task.objects.bulk_create(tasks)
    Task.history.bulk_history_create(made, default_user=planner)
    services.add_comment(task=made[3], content="The French one is a line too long.", actor=planner)
    services.add_comment(task=made[3], content="Shortened. Please look again.", author="marketer")
    services.add_comment(task=made[13], content="Only the Android app does it.", author="viewer")
    _write_past_reports(made, now)


def _write_past_reports(tasks: list[Task], now: datetime) -> None:
    """Create the reports of the last 13 days as they would have been generated.

    Opsroom generates today's report itself.
    """
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    mornings = [today - timedelta(days=number) for number in range(13, 0, -1)]
    by_project: dict[Project, list[Task]] = {}
    for task in tasks:
        by_project.setdefault(task.project, []).append(task)
    reports = [
        Report(
            date=morning.date(),
            data={
                "totals": _counted(tasks, morning),
                "projects": [{"id": it.pk, "name": it.name, **_counted(of, morning)} for it, of in by_project.items()],
            },
            created_at=morning + timedelta(hours=6),
            mailed_at=morning + timedelta(hours=6, minutes=1),
        )
        for morning in mornings
    ]
    Report.objects.bulk_create(reports, ignore_conflicts=True)  # reports may exist even without projects


def _counted(tasks: list[Task], morning: datetime) -> dict[str, int]:
    """Return the counts that projects/reports.py would have computed on that morning."""
    day = timedelta(days=1)
    was_open = [task for task in tasks if not (task.completed_at and task.completed_at < morning)]
    started = sum(task.status != PENDING for task in was_open)
    due = [task.due_date for task in was_open if task.due_date]
    done = [task.completed_at for task in tasks if task.completed_at]
    return {
        "total": len(tasks),
        "pending": len(was_open) - started,
        "in_progress": started,
        "completed": len(tasks) - len(was_open),
        "due_today": sum(morning <= moment < morning + day for moment in due),
        "overdue": sum(moment < morning for moment in due),
        "done_yesterday": sum(morning - day <= moment < morning for moment in done),
    }
