"""Fake and demo data: fast, realistic, and safe to create twice."""

import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from projects.models import Comment, Project, Report, Task
from projects.reports import generate_report, mail_reports

pytestmark = pytest.mark.django_db


def test_ten_thousand_tasks_take_few_statements(django_assert_max_num_queries):
    with django_assert_max_num_queries(60):
        call_command("create_fake_projects", total=100, tasks=100, stdout=io.StringIO())

    assert (Project.objects.count(), Task.objects.count()) == (100, 10_000)
    assert Task.objects.filter(status="completed").exists()
    assert Task.objects.filter(due_date=None).exists()


def test_a_number_that_makes_no_sense_is_refused():
    with pytest.raises(CommandError):
        call_command("create_fake_projects", total=0)


def test_the_demo_has_projects_and_a_planner_and_is_the_same_when_repeated():
    for _ in range(2):
        call_command("create_demo", stdout=io.StringIO())

    assert User.objects.get(username="planner").groups.get().name == "planning"
    assert (Project.objects.count(), Task.objects.count(), Comment.objects.count()) == (4, 40, 3)


def test_the_demo_has_a_fortnight_of_reports_that_say_what_the_house_would_have_said():
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    call_command("create_demo", stdout=io.StringIO())

    reports = Report.objects.order_by("date")
    today, _ = generate_report()

    assert [report.date for report in reports] == [
        (midnight - timedelta(days=number)).date() for number in range(13, -1, -1)
    ]
    done = Task.objects.filter(completed_at__gte=midnight - timedelta(days=14), completed_at__lt=midnight)
    assert sum(report.data["totals"]["done_yesterday"] for report in reports) == done.count()
    for report in reports:
        assert report.data["totals"].keys() == today.data["totals"].keys()
        assert {row["name"] for row in report.data["projects"]} == {row["name"] for row in today.data["projects"]}
        assert sum(row["overdue"] for row in report.data["projects"]) == report.data["totals"]["overdue"]
    assert mail_reports() == 1  # today's only
