"""Forms of users that are sent at the same moment: each writes its own changes, without an error page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from chats.models import Chat
from chats.tests.test_fanout import in_another_connection, wait_until_somebody_waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)
OLD, NEW, OTHER = "correct horse", "battery staple 7", "purple monkey 9"


@contextmanager
def before_it_is_written(post: Callable[[], HttpResponse]) -> Iterator[list[HttpResponse]]:
    """Commit the block's changes while `post` waits for their row locks; yield the list for its response."""
    answers: list[HttpResponse] = []
    with transaction.atomic():
        yield answers
        posting = in_another_connection(lambda: answers.append(post()))
        wait_until_somebody_waits_for_a_lock()
    posting.join(20)
    assert not posting.is_alive()


def own_password(user: User) -> Callable[[], HttpResponse]:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    form = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    return lambda: client.post(reverse("admin:password_change"), form)


def test_a_user_who_is_deactivated_while_changing_the_password_stays_deactivated(viewer: User):
    with before_it_is_written(own_password(viewer)) as answers:
        User.objects.filter(pk=viewer.pk).update(is_active=False)

    assert answers[0].status_code == 403
    assert not User.objects.get(pk=viewer.pk).is_active


def test_a_password_that_was_reset_meanwhile_cannot_be_changed_with_the_old_one(viewer: User):
    with before_it_is_written(own_password(viewer)) as answers:
        reset = User.objects.get(pk=viewer.pk)
        reset.set_password(OTHER)
        reset.save(update_fields=["password"])

    assert "old password was entered incorrectly" in answers[0].content.decode()
    assert User.objects.get(pk=viewer.pk).check_password(OTHER)


def changed(user: User, **fields: Any) -> dict[str, Any]:
    return {"username": user.username, "email": user.email, "is_active": "on", "is_staff": "on",
            "date_joined_0": f"{user.date_joined:%Y-%m-%d}", "date_joined_1": f"{user.date_joined:%H:%M:%S}",
            **fields}  # fmt: skip


def test_an_edit_of_a_user_leaves_a_password_that_was_changed_meanwhile(viewer: User, as_superuser: Client):
    path = reverse("admin:auth_user_change", args=[viewer.pk])
    with before_it_is_written(lambda: as_superuser.post(path, changed(viewer, email="vic@example.com"))) as answers:
        own = User.objects.get(pk=viewer.pk)
        own.set_password(NEW)
        own.save(update_fields=["password"])

    now = User.objects.get(pk=viewer.pk)
    assert (answers[0].status_code, now.email) == (302, "vic@example.com")
    assert now.check_password(NEW)


def test_an_edit_does_not_bring_a_deleted_user_back(viewer: User, as_superuser: Client):
    path = reverse("admin:auth_user_change", args=[viewer.pk])
    with before_it_is_written(lambda: as_superuser.post(path, changed(viewer, email="vic@example.com"))) as answers:
        User.objects.filter(pk=viewer.pk).delete()

    assert answers[0].status_code == 302
    assert not User.objects.filter(pk=viewer.pk).exists()


def test_a_reset_of_a_password_leaves_a_user_deactivated(viewer: User, as_superuser: Client):
    path = reverse("admin:auth_user_password_change", args=[viewer.pk])
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    with before_it_is_written(lambda: as_superuser.post(path, form)) as answers:
        User.objects.filter(pk=viewer.pk).update(is_active=False)

    now = User.objects.get(pk=viewer.pk)
    assert (answers[0].status_code, now.is_active) == (302, False)
    assert now.check_password(NEW)


NAMES: dict[str, tuple[str, Callable[[], Any], dict[str, str]]] = {
    "user": (
        "admin:auth_user_add",
        lambda: User.objects.create(username="nora"),
        {"username": "nora", "password1": NEW, "password2": NEW, "usable_password": "true"},
    ),
    "group": ("admin:auth_group_add", lambda: Group.objects.create(name="nora"), {"name": "nora"}),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_that_is_taken_at_the_same_moment_is_refused_in_the_form(kind: str, as_superuser: Client):
    name, create, form = NAMES[kind]
    as_superuser.raise_request_exception = False

    with before_it_is_written(lambda: as_superuser.post(reverse(name), form)) as answers:
        create()

    assert answers[0].status_code == 200
    assert "already exists" in answers[0].content.decode()


def test_a_chat_that_is_opened_at_the_same_moment_is_refused_in_the_form(as_superuser: Client):
    user_uuid = uuid4()
    as_superuser.raise_request_exception = False
    path = reverse("admin:chats_chat_add")

    with before_it_is_written(lambda: as_superuser.post(path, {"user_uuid": str(user_uuid)})) as answers:
        Chat.objects.create(user_uuid=user_uuid)

    assert answers[0].status_code == 200
    assert "already exists" in answers[0].content.decode()
