"""The daily reports in the admin."""

from datetime import date, timedelta

import pytest

from projects.factories import ProjectFactory
from projects.models import Project, Report

pytestmark = pytest.mark.django_db
DAY = date(2031, 3, 10)
NAMES = ("total", "pending", "in_progress", "completed", "due_today", "overdue", "done_yesterday")


def report_of(day: date, project: Project | None = None, **numbers: int) -> Report:
    counts = dict.fromkeys(NAMES, 0) | numbers
    rows = [{"id": project.pk, "name": project.name, **counts}] if project else []
    return Report.objects.create(date=day, data={"totals": counts, "projects": rows})


def page_of(report: Report) -> str:
    return f"/admin/projects/report/{report.pk}/change/"


def test_a_day_shows_each_project_and_the_fortnight(as_viewer):
    report = report_of(DAY, ProjectFactory(name="Autumn sale"), total=9, completed=4, done_yesterday=3, overdue=2)
    report_of(DAY - timedelta(days=1), done_yesterday=6)

    page = as_viewer.get(page_of(report)).content.decode()

    assert "Autumn sale" in page and "4 of 9" in page
    assert page.count("no report") == 12 and "6 done the day before" in page and "highest: 6" in page


def test_each_project_has_its_own_fortnight(as_viewer):
    project = ProjectFactory()
    report = report_of(DAY, project, done_yesterday=3)
    report_of(DAY - timedelta(days=2), project, done_yesterday=6)
    report_of(DAY - timedelta(days=14), project, done_yesterday=100)
    report_of(DAY - timedelta(days=1), ProjectFactory(), done_yesterday=50)

    page = as_viewer.get(page_of(report))

    assert page.context["projects"][0]["done"] == [None] * 11 + [6, None, 3]
    assert 'aria-label="9 done in 14 days"' in page.content.decode()


def test_a_day_alone_with_nothing_done_is_a_page(as_viewer):
    assert as_viewer.get(page_of(report_of(DAY))).status_code == 200


def test_the_list_leads_to_the_days_and_back_and_forth(as_viewer):
    reports = [report_of(DAY + timedelta(days=number)) for number in range(3)]

    listed = as_viewer.get("/admin/projects/report/").content.decode()
    middle = as_viewer.get(page_of(reports[1])).content.decode()

    assert page_of(reports[0]) in listed and "Monday, 10 March 2031" in listed
    assert page_of(reports[0]) in middle and page_of(reports[2]) in middle


def test_no_reports_is_said_in_words(as_viewer):
    assert "No reports yet" in as_viewer.get("/admin/projects/report/").content.decode()


def test_nobody_writes_a_report_by_hand(as_superuser):
    report = report_of(DAY)

    assert as_superuser.get("/admin/projects/report/add/").status_code == 403
    assert as_superuser.post(f"/admin/projects/report/{report.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_stranger_sees_no_report(as_stranger):
    assert as_stranger.get(page_of(report_of(DAY))).status_code == 403


def test_the_front_page_shows_the_last_report_and_what_is_late(as_viewer):
    report_of(DAY, overdue=7)

    page = as_viewer.get("/admin/").content.decode()

    assert "Last report" in page and "Due today and overdue" in page


@pytest.mark.parametrize("name", ["superuser", "viewer"])
def test_the_caches_counts_are_for_superusers(request, name):
    answer = request.getfixturevalue(f"as_{name}").get("/admin/projects/project/cache/")

    assert answer.status_code == (200 if name == "superuser" else 403)
