"""The database refuses invalid states, whatever code writes them."""

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from projects.factories import CommentFactory, ProjectFactory, TaskFactory
from projects.models import Reminder, Report, Task

pytestmark = pytest.mark.django_db
DUE = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("projects_task_completed_when", {"status": "completed"}),
        ("projects_task_completed_when", {"completed_at": timezone.now()}),
        ("projects_task_status", {"status": "lost"}),
        ("projects_task_priority", {"priority": "urgent"}),
        ("projects_task_titled", {"title": ""}),
        ("projects_task_due_within_reach", {"due_date": datetime(1969, 12, 31, tzinfo=UTC)}),
        ("projects_task_due_within_reach", {"due_date": datetime(3000, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_task_is_as_its_constraints_say(rule, change):
    task = TaskFactory()

    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(**change)


def test_a_project_has_a_name_and_a_comment_an_author():
    with pytest.raises(IntegrityError, match="projects_project_named"), transaction.atomic():
        ProjectFactory(name="")
    with pytest.raises(IntegrityError, match="projects_comment_said"), transaction.atomic():
        CommentFactory(author="")


def test_there_is_one_reminder_for_a_due_date_and_one_report_a_day():
    task = TaskFactory()
    Reminder.objects.create(task=task, due_date=DUE)
    Report.objects.create(date=date(2030, 1, 1), data={})

    with pytest.raises(IntegrityError, match="projects_reminder_once"), transaction.atomic():
        Reminder.objects.create(task=task, due_date=DUE)
    with pytest.raises(IntegrityError, match="projects_report_once_a_day"), transaction.atomic():
        Report.objects.create(date=date(2030, 1, 1), data={})


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("projects_reminder_sent_when", {"status": "sent"}),
        ("projects_reminder_sent_when", {"status": "sent", "sent_at": DUE}),
        ("projects_reminder_failed_why", {"status": "failed"}),
        ("projects_reminder_attempts", {"attempts": 6}),
    ],
)
def test_the_ledger_does_not_lie(rule, change):
    reminder = Reminder.objects.create(task=TaskFactory(), due_date=DUE)

    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        Reminder.objects.filter(pk=reminder.pk).update(**change)
