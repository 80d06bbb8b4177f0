"""Pages of the theme or a library use the product's wording: times, confirmations, empty lists."""

import re
from html import unescape

import pytest
from django.urls import reverse

from events.factories import EventTypeFactory
from projects import services
from projects.factories import ProjectFactory, TaskFactory

pytestmark = pytest.mark.django_db


def text_of(response) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def test_a_history_shows_times_as_everywhere_and_who_changed_what(as_superuser, superuser):
    task = TaskFactory(title="Before")
    services.update_task(task=task, actor=superuser, title="After")

    page = as_superuser.get(reverse("admin:projects_task_history", args=[task.pk]))

    assert page.content.decode().count('<time class="when"') >= 2
    assert not re.search(r"\d [ap]\.m\.", text_of(page))
    assert "Change reason" not in text_of(page) and " None " not in text_of(page)
    assert "Version When What By Changes" in text_of(page)
    assert re.search(r"Title: Before .*After", text_of(page))


def test_the_log_of_an_account_has_a_clock_of_24_hours(as_superuser, superuser):
    address = reverse("admin:auth_group_change", args=[1])
    page = as_superuser.get(address)
    form = {"name": "renamed", "permissions": []}
    as_superuser.post(address, form)

    page = as_superuser.get(reverse("admin:auth_group_history", args=[1]))

    assert re.search(r"\d{4}, \d\d:\d\d", text_of(page))


def test_a_deletion_says_what_goes_in_numbers_and_that_it_cannot_be_undone(as_planner):
    project = ProjectFactory(name="Spring")
    TaskFactory.create_batch(3, project=project)

    page = text_of(as_planner.get(reverse("admin:projects_project_delete", args=[project.pk])))

    assert "Delete the project “Spring”?" in page
    assert re.search(r"Projects: 1 , Tasks: 3", page) and "cannot be undone" in page
    assert "take me back" not in page and "Are you sure" not in page


def test_a_deletion_of_selected_rows_asks_in_the_same_words(as_planner):
    tasks = TaskFactory.create_batch(2)

    chosen = {"action": "delete_selected", "_selected_action": [task.pk for task in tasks]}
    page = text_of(as_planner.post(reverse("admin:projects_task_changelist"), chosen, follow=True))

    assert "Delete the selected tasks?" in page and "cannot be undone" in page
    assert "take me back" not in page


@pytest.mark.parametrize("name", ["projects_task", "projects_project", "projects_reminder", "chats_broadcast"])
def test_a_search_without_a_result_says_what_was_searched(as_superuser, name):
    TaskFactory()

    page = text_of(as_superuser.get(reverse(f"admin:{name}_changelist"), {"q": "zzz"}))

    assert "found Nothing matches “zzz”." in page and "Show all" in page
    assert "yielded" not in page


def test_the_names_of_groups_of_pages_are_those_of_the_navigation(as_superuser):
    EventTypeFactory()

    for name in ("auth_user", "axes_accessattempt", "django_celery_beat_periodictask", "accounts_accesstoken"):
        assert "Administration" in text_of(as_superuser.get(reverse(f"admin:{name}_changelist")))
