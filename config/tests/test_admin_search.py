"""The command palette (Ctrl+K) finds projects and tasks by their words, for users who may see them."""

import re

import pytest
from django.utils import timezone

from core.registry import MAX_SEARCH_RESULTS
from events.factories import ApplicationFactory, EventTypeFactory
from events.models import Session
from projects.admin import front_page
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Project, Task
from testrunner.factories import RunFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return TaskFactory(title="Draw 100% of the banner", status="in_progress", project__name="Autumn sale")


def found(client, term: str) -> str:
    answer = client.get("/admin/search/", {"s": term, "extended": "1"})
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("term", ["draw", "BANNER", " 100% ", "f the b"])
def test_a_task_is_found_by_any_part_of_its_title(as_viewer, task, term):
    page = found(as_viewer, term)

    assert f"/admin/projects/task/{task.pk}/change/" in page
    assert "in progress: Autumn sale" in page


def test_a_project_is_found_by_its_name_and_leads_to_its_board(as_viewer, task):
    assert f"/admin/projects/project/{task.project_id}/board/" in found(as_viewer, "tumn")


@pytest.mark.parametrize("term", ["d", "%%", "1__%", "dr\x00w", "\x00", "' OR 1=1 --", "x" * 5_000])
def test_what_means_nothing_finds_nothing(as_viewer, task, term):
    assert "Draw" not in found(as_viewer, term)


def test_who_may_see_neither_is_shown_neither(as_stranger, as_marketer, task):
    for client in (as_stranger, as_marketer):
        assert "Draw" not in found(client, "draw")
        assert "Autumn" not in found(client, "autumn")


def test_each_kind_is_bounded_in_rows_and_in_what_is_looked_through(
    as_viewer, monkeypatch, django_assert_max_num_queries
):
    project = ProjectFactory(name="Paint the oldest")
    tasks = TaskFactory.create_batch(MAX_SEARCH_RESULTS + 2, title="Paint", project=project)

    with django_assert_max_num_queries(13):  # session, user, time zone, permissions, and one or two for each kind
        page = found(as_viewer, "paint")

    newest = {str(task.pk) for task in tasks[-MAX_SEARCH_RESULTS:]}
    assert set(re.findall(r"/task/(\d+)/", page)) == newest
    Project.objects.bulk_create(Project(name=f"Newer {number}") for number in range(3))
    monkeypatch.setattr(front_page, "NEWEST", 3)
    assert "oldest" not in found(as_viewer, "paint the")


def test_an_application_a_type_and_a_session_are_found_by_those_who_may(as_viewer, as_planner):
    application = ApplicationFactory(name="Web shop")
    kind = EventTypeFactory(category="shop", name="checkout")
    now = timezone.now()
    Session.objects.create(session_id="visit/1", first_seen=now, last_seen=now, event_count=3)
    pages = {
        "web": f"/admin/events/application/{application.pk}/change/",
        "check": f"/admin/events/eventtype/{kind.pk}/change/",
        "visit/1": "/admin/events/session/visit_2F1/change/",
    }

    for term, page in pages.items():
        assert page in found(as_viewer, term)
        assert page not in found(as_planner, term)
    assert pages["visit/1"] not in found(as_viewer, "visit")


def test_an_environment_is_found_by_its_name_and_a_run_by_its_number(as_viewer, as_stranger):
    run = RunFactory(environment_id=17)

    assert "Environment 17" in found(as_viewer, "ronment 17")
    for term in (str(run.pk), f"#{run.pk}", f"run {run.pk}"):
        assert f"/testrun/{run.pk}/" in found(as_viewer, term), term
    assert "/testrun/" not in found(as_viewer, "9" * 40)
    assert "/testrun/" not in found(as_stranger, str(run.pk)) and "/testenvironment/" not in found(as_stranger, "ronm")
