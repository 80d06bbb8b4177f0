"""History is readable and never writable: the history pages of every admin that has them."""

import pytest
from django.contrib import admin
from django.db import models
from django.forms.models import model_to_dict
from django.urls import reverse
from simple_history.admin import SimpleHistoryAdmin

from chats.factories import BroadcastFactory
from events.factories import ApplicationFactory, EventTypeFactory
from projects.factories import ProjectFactory, TaskFactory
from testrunner.models import TestEnvironment

pytestmark = pytest.mark.django_db

KEPT = sorted(
    (model for model, its_admin in admin.site._registry.items() if isinstance(its_admin, SimpleHistoryAdmin)),
    key=lambda model: model._meta.label,
)
MAKE = {
    "chats.Broadcast": BroadcastFactory,
    "events.Application": ApplicationFactory,
    "events.EventType": EventTypeFactory,
    "projects.Project": ProjectFactory,
    "projects.Task": TaskFactory,
    "testrunner.TestEnvironment": lambda: TestEnvironment.objects.get(pk=17),
}


def page_of(row: models.Model) -> str:
    """Save the row once more, so that it has history, and return the URL of its latest version."""
    row.save()
    version = row.history.first()
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_simple_history", args=[row.pk, version.pk])


def every_field(row: models.Model) -> dict:
    return type(row).objects.values().get(pk=row.pk)


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("who", ["as_viewer", "as_superuser"])
def test_nobody_writes_by_way_of_the_past(model, who, request):
    client = request.getfixturevalue(who)
    row = MAKE[model._meta.label]()
    page = page_of(row)
    before, versions = every_field(row), row.history.count()
    given = {name: value for name, value in model_to_dict(row).items() if value}

    answers = [
        client.post(page, {**given, "title": "Rewritten", "name": "Rewritten", "text": "Rewritten", "status": "x"}),
        client.post(page, {**given, "_change_history": "1"}),
        client.put(page),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 405]
    assert every_field(row) == before
    assert row.history.count() == versions


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("who", ["as_viewer", "as_superuser"])
def test_who_may_see_a_row_reads_what_it_was_and_is_offered_no_change(model, who, request):
    client = request.getfixturevalue(who)
    row = MAKE[model._meta.label]()

    shown = client.get(page_of(row))

    form = shown.content.decode().split('id="content"')[-1]
    assert shown.status_code == 200
    assert str(next(getattr(row, name) for name in ("title", "name", "text") if hasattr(row, name))) in form
    assert "<textarea" not in form
    assert "<select" not in form.split('id="submit-row"')[0]
    assert "for reading only" in form and "Revert" not in form


def test_a_stranger_reads_nothing_of_the_past(as_stranger):
    assert as_stranger.get(page_of(TaskFactory())).status_code == 403


def test_the_past_of_what_is_gone_is_still_read(as_viewer, planner, marketer):
    task = TaskFactory(project=ProjectFactory(owner=planner), assignee=marketer)
    page = page_of(task)
    task.project.delete()
    planner.delete()
    marketer.delete()

    assert as_viewer.get(page).status_code == 200


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model._meta.label)
def test_an_id_that_no_row_can_have_is_404(model, as_superuser):
    row = MAKE[model._meta.label]()
    address = f"/admin/{model._meta.app_label}/{model._meta.model_name}"

    for key in ("x", "_00", "²", "1" * 4_400):
        for page in (f"{key}/history/", f"{key}/history/1/", f"{row.pk}/history/{key}/"):
            assert as_superuser.get(f"{address}/{page}").status_code == 404, page[:50]
    assert as_superuser.get(f"{address}/{row.pk}/history/").status_code == 200
