"""Two users with the same admin form: the second one sees what changed and by whom, and loses nothing."""

from __future__ import annotations

import html
import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client, RequestFactory
from django.urls import reverse

from chats.factories import BroadcastFactory
from chats.models import Broadcast
from config.tests.matrix import ENVIRONMENT, ID, create_everything
from config.tests.pages import Form, Page
from core.admin.concurrent_forms import ConcurrentFormsAdmin
from projects.models import Comment, Project, Task

pytestmark = pytest.mark.django_db
# Fields that accept only certain values.
OWN = {
    "minute": {"one": "1-5", "other": "2-6"},
    "clocked_time": {"one": "2040-01-01T10:00", "other": "2040-01-01T11:00"},
    "latitude": {"one": "51.000000", "other": "50.000000"},
}
# Pages whose form has another URL than the row.
ELSEWHERE = {
    "testenvironment": f"/admin/testrunner/testenvironment/{ENVIRONMENT}/settings/",
    "broadcast": f"/admin/chats/broadcast/{ID}/edit/",
}
NO_FORM = {"chat": "a conversation, to which both write", "reminder": "a log, whose page has no form"}


def editable() -> list[str]:
    """Return the models that the admin changes with a form, and the scheduled broadcast."""
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    found = [model._meta.model_name for model, it in admin.site._registry.items() if it.has_change_permission(request)]
    return sorted({*found, "broadcast"} - set(NO_FORM))


def address_of(name: str) -> str:
    model = next(model for model in admin.site._registry if model._meta.model_name == name)
    return ELSEWHERE.get(name) or reverse(f"admin:{model._meta.app_label}_{name}_change", args=[ID])


@pytest.fixture
def rows(settings) -> None:
    create_everything()
    Broadcast.objects.filter(pk=ID).delete()
    BroadcastFactory(pk=ID, status="scheduled", send_at="2040-01-01T12:00Z")
    Project.objects.get(pk=ID).save()


def browser(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser(name, password="correct horse"))
    return client


def form_of(client: Client, address: str) -> Form:
    forms = [form for form in Page(client.get(address).content.decode()).forms if form.method == "post"]
    return next(form for form in forms if "_seen" in form.kinds or "version" in form.kinds)


def changed(form: Form, by: str) -> tuple[str, dict[str, list[str]]]:
    """Return the name of one editable field, and the form's body with another value in it."""
    data = form.data()
    for name, values in OWN.items():
        if name in data:
            return name, data | {name: [values[by]]}
    for name, kind in form.kinds.items():
        value = data.get(name, [""])[0]
        if name.startswith(("_", "initial-")) or name in ("schema", "note"):
            continue
        if kind == "number" and value.isdigit():
            return name, data | {name: [str(int(value) + len(by))]}
        if kind in ("text", "textarea"):
            return name, data | {name: [f"{value}{by}"]}
    for name, kind in form.kinds.items():
        if kind == "select" and len(form.choices[name]) > 2:
            return name, data | {name: [form.choices[name][-1 if by == "one" else -2]]}
    raise AssertionError("The form has no field to be changed.")


@pytest.mark.parametrize("name", editable())
def test_the_second_of_two_users_is_told_what_changed_and_can_overwrite_it(name: str, rows):
    address, first, second = address_of(name), browser("ann"), browser("ben")
    sent = form_of(first, address), form_of(second, address)
    field, of_first = changed(sent[0], "one")
    _, of_second = changed(sent[1], "other")
    typed = of_second[field][0]
    step = {"step": ["send"]} if name == "broadcast" else {}

    saved = first.post(address, of_first | step)
    refused = second.post(address, of_second | step)
    page = refused.content.decode()

    assert saved.status_code == 302, Page(page).title
    assert refused.status_code == 200
    assert re.search(r"changed .*?\bann\b|\bann\b.* changed", page, re.IGNORECASE), name
    again = next(form for form in Page(page).forms if {"_seen", "version"} & set(form.kinds))
    assert again.data()[field] == [typed]

    overwritten = second.post(address, again.data() | step)

    assert overwritten.status_code == 302
    assert form_of(browser("eve"), address).data()[field] == [typed]


@pytest.mark.parametrize("name", editable())
def test_a_form_that_is_sent_twice_is_not_refused_for_its_own_change(name: str, rows):
    address, user = address_of(name), browser("ann")
    form = form_of(user, address)
    field, data = changed(form, "one")
    step = {"step": ["send"]} if name == "broadcast" else {}

    answers = [user.post(address, data | step) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302], Page(answers[1].content.decode()).title
    assert form_of(user, address).data()[field] == data[field]


def test_every_form_that_is_saved_by_django_is_compared_with_what_it_was_opened_with():
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_active=True)
    own = {"task", "application", "eventtype"}  # special pages, which the test above covers
    changing = {m._meta.model_name for m, it in admin.site._registry.items() if it.has_change_permission(request)}
    compared = {m._meta.model_name for m, it in admin.site._registry.items() if isinstance(it, ConcurrentFormsAdmin)}

    assert changing - compared - set(NO_FORM) == own


def test_groups_that_another_user_has_given_meanwhile_are_named(rows):
    address, first, second = address_of("user"), browser("ann"), browser("ben")
    before = form_of(first, address), form_of(second, address)
    group = str(Group.objects.get(name="marketing").pk)

    first.post(address, before[0].data(groups=group))
    page = second.post(address, before[1].data(first_name="Sam")).content.decode()

    assert "Groups (now “marketing”)" in html.unescape(page)
    assert not User.objects.get(pk=ID).first_name


def test_a_variable_that_another_user_has_added_meanwhile_is_noticed_and_what_was_typed_is_kept(rows):
    address, first, second = address_of("testenvironment"), browser("ann"), browser("ben")
    before = form_of(first, address), form_of(second, address)
    row = {"variables-TOTAL_FORMS": "1", "variables-0-name": "API_URL", "variables-0-value": "one"}

    first.post(address, before[0].data(**row))
    page = second.post(address, before[1].data(**row | {"variables-0-value": "other"})).content.decode()

    assert "Variables that every test here sees" in html.unescape(page)
    assert form_of_page(page).data()["variables-0-value"] == ["other"]


def test_two_users_who_change_different_fields_of_a_task_both_have_their_way(rows):
    address, first, second = address_of("task"), browser("ann"), browser("ben")
    before = form_of(first, address), form_of(second, address)

    first.post(address, before[0].data(title="Another title"))
    saved = second.post(address, before[1].data(description="Another description"))

    task = Task.objects.get(pk=ID)
    assert saved.status_code == 302
    assert (task.title, task.description) == ("Another title", "Another description")


def test_an_ordinary_refusal_does_not_count_as_having_seen_the_change(rows):
    address, first, second = address_of("group"), browser("ann"), browser("ben")
    before = form_of(first, address), form_of(second, address)

    empty = second.post(address, before[1].data(name=""))
    first.post(address, before[0].data(name="by ann"))
    again = form_of_page(empty.content.decode())
    refused = second.post(address, again.data(name="by ben"))

    assert refused.status_code == 200
    assert Group.objects.get(pk=ID).name == "by ann"


def form_of_page(text: str) -> Form:
    return next(form for form in Page(text).forms if "_seen" in form.kinds)


@pytest.mark.parametrize("name", ["project", "task", "group", "user", "periodictask", "intervalschedule"])
def test_a_row_that_changed_after_the_question_is_not_deleted_unasked(name: str, rows):
    first, second = browser("ann"), browser("ben")
    model = next(model for model in admin.site._registry if model._meta.model_name == name)
    address = reverse(f"admin:{model._meta.app_label}_{name}_delete", args=[ID])
    question = form_of(second, address)
    _, data = changed(form_of(first, address_of(name)), "one")

    with transaction.atomic():
        assert first.post(address_of(name), data).status_code == 302
    answer = second.post(address, question.data())
    page = second.get(address).content.decode()

    assert answer.headers["Location"] == address
    assert "ann" in page and "Nothing was deleted" in page
    assert second.post(address, form_of_page(page).data()).status_code == 302
    assert not model.objects.filter(pk=ID).exists()


def test_a_comment_is_not_overwritten_from_a_second_tab(rows):
    user = browser("ann")
    comment = Comment.objects.create(
        task_id=ID, author="ann", content="first", written_by=User.objects.get(username="ann")
    )
    address = reverse("admin:projects_task_edit_comment", args=[ID, comment.pk])
    before = form_of(user, address)

    user.post(address, before.data(content="second"))
    answer = user.post(address, before.data(content="third"))

    assert "third" in answer.content.decode() and "Nothing was saved" in answer.content.decode()
    assert Comment.objects.get(pk=comment.pk).content == "second"
