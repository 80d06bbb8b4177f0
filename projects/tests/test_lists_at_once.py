"""Cached lists are answered before REST framework: the same response, to the same users, with one query."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from accounts.tokens import issue_token
from projects.cached_views import CachedListMiddleware
from projects.factories import TaskFactory

pytestmark = pytest.mark.django_db


def by_token(user: User) -> Client:
    return Client(headers={"Authorization": f"Token {issue_token(user=user)[1]}"})


@pytest.fixture
def paula(planner) -> Client:
    """A planner with a token, whose lists are cached."""
    TaskFactory.create_batch(3)
    client = by_token(planner)
    for path in ("/tasks/", "/projects/"):
        assert client.get(path).status_code == 200
    return client


@pytest.fixture
def at_once(monkeypatch) -> list[bool]:
    """For each request, whether the middleware answered it."""
    answered = []
    ask = CachedListMiddleware._from_cache

    def watched(*args, **kwargs):
        found = ask(*args, **kwargs)
        answered.append(found is not None)
        return found

    monkeypatch.setattr(CachedListMiddleware, "_from_cache", watched)
    return answered


@pytest.mark.parametrize("path", ["/tasks/", "/projects/"])
def test_the_answer_is_the_ordinary_one_to_the_letter(path, paula, monkeypatch, django_assert_num_queries):
    with django_assert_num_queries(1):
        quick = paula.get(path)
    monkeypatch.setattr(CachedListMiddleware, "_from_cache", lambda *_: None)

    ordinary = paula.get(path)

    assert quick.content == ordinary.content
    each, own = [dict(answer.headers) for answer in (quick, ordinary)], "X-Request-ID"
    assert each[0].pop(own) != each[1].pop(own)
    assert each[0] == each[1]


def test_what_the_client_has_already_is_304_at_once(paula, at_once):
    etag = paula.get("/tasks/").headers["ETag"]

    assert paula.get("/tasks/", headers={"If-None-Match": etag}).status_code == 304
    assert at_once == [True, True]


def revoke_token(user: User) -> None:
    user.access_tokens.all().delete()


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def leave_groups(user: User) -> None:
    user.groups.clear()


def withdraw_from_group(user: User) -> None:
    user.groups.get().permissions.remove(*Permission.objects.filter(codename="view_task"))


@pytest.mark.parametrize(
    ("revoke", "status"), [(revoke_token, 401), (deactivate, 401), (leave_groups, 403), (withdraw_from_group, 403)]
)
def test_what_is_revoked_counts_from_the_next_request(revoke, status, paula, planner, at_once):
    assert paula.get("/tasks/").status_code == 200

    revoke(planner)

    assert paula.get("/tasks/").status_code == status
    assert at_once == [True, False]


def test_a_right_to_one_list_is_none_to_the_other(paula, stranger):
    stranger.user_permissions.set(Permission.objects.filter(codename="view_project"))
    sam = by_token(stranger)

    assert [sam.get("/projects/").status_code for _ in range(2)] == [200, 200]
    assert sam.get("/tasks/").status_code == 403


def test_a_superuser_has_every_right_and_is_answered_at_once(paula, superuser, at_once):
    root = by_token(superuser)

    assert [root.get("/tasks/").status_code for _ in range(2)] == [200, 200]
    assert at_once == [False, True]  # a new user invalidates the lists


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "text/html"}, 406),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Token"}, 401),
        ({"Authorization": "Token a b"}, 401),
        ({"Authorization": "Bearer x"}, 401),
    ],
)
def test_whatever_is_not_clear_is_left_to_rest_framework(headers, status, paula, at_once):
    assert paula.get("/tasks/", headers=headers).status_code == status
    assert at_once == [False]


def test_writing_one_task_and_reading_one_are_not_for_it(paula, at_once):
    assert paula.post("/tasks/", {"title": ""}, content_type="application/json").status_code == 400
    assert paula.get("/tasks/1/").status_code in (200, 404)
    assert paula.get("/tasks/export/").status_code == 200
    assert not any(at_once)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_is_replaced_without_an_error(superuser):
    root = by_token(superuser)
    assert [root.get("/projects/").status_code for _ in range(2)] == [200, 200]

    connection.connection.close()

    assert [root.get("/projects/").status_code for _ in range(2)] == [200, 200]
