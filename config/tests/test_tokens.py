"""Tokens: stored as hashes, limited in number and lifetime, revoked by their owner or a password change."""

from datetime import timedelta
from io import StringIO
from unittest.mock import patch

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.hashers import LoginUpgradedHasher
from accounts.models import AccessToken
from accounts.passwords import strengthen_hash
from accounts.tokens import MAX_TOKENS, issue_token, token_of
from projects.calendar.feed import new_token, owner_of

pytestmark = pytest.mark.django_db
LOGIN = {"username": "vic", "password": "correct horse"}
TOKEN = "/auth/token/"


def asked_for(**login: str) -> str:
    answer = Client().post(TOKEN, {**LOGIN, **login})
    assert answer.status_code == 200
    return answer.json()["token"]


def status(key: str, path: str = "/chats/") -> int:
    return Client().get(path, headers={"Authorization": f"Token {key}"}).status_code


# --- What is stored --------------------------------------------------------------------------------
def test_no_column_of_the_database_holds_a_key(viewer):
    key = asked_for()

    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM accounts_accesstoken t")
        rows = str(cursor.fetchall())

    assert key[:6] in rows
    assert key[:7] not in rows


def test_each_request_creates_a_token_of_its_own_with_its_expiry(viewer, settings):
    settings.TOKEN_DAYS = 30
    first = Client().post(TOKEN, LOGIN).json()
    second = Client().post(TOKEN, LOGIN).json()

    assert first["token"] != second["token"]
    assert (status(first["token"]), status(second["token"])) == (200, 200)
    remaining = AccessToken.objects.latest("pk").expires_at - timezone.now()
    assert timedelta(days=29, hours=23) < remaining <= timedelta(days=30)


def test_the_least_recently_used_token_makes_room(viewer):
    keys = [issue_token(user=viewer)[1] for _ in range(MAX_TOKENS)]
    used = keys.pop(0)
    assert status(used) == 200

    newest = asked_for()

    assert AccessToken.objects.filter(user=viewer).count() == MAX_TOKENS
    assert (status(used), status(newest), status(keys[0]), status(keys[1])) == (200, 200, 401, 200)


# --- The end of a token -----------------------------------------------------------------------------
def test_an_expired_token_is_401(viewer, settings):
    settings.TOKEN_DAYS = 1
    key = asked_for()

    with time_machine.travel(timezone.now() + timedelta(days=1, seconds=1)):
        assert token_of(key) is None
        assert status(key) == 401


def test_delete_ends_the_token_it_is_sent_with_and_no_other(viewer):
    key, other = asked_for(), asked_for()

    answer = Client().delete(TOKEN, headers={"Authorization": f"Token {key}"})

    assert answer.status_code == 204
    assert (status(key), status(other)) == (401, 200)


def test_delete_without_a_token_is_refused_with_words(as_viewer, client):
    assert client.delete(TOKEN).status_code == 401
    answer = as_viewer.delete(TOKEN)
    assert answer.status_code == 400
    assert "Authorization: Token" in answer.json()["detail"]


def test_the_tokens_of_a_deactivated_user_are_401_everywhere(planner):
    _, key = issue_token(user=planner)
    assert (status(key, "/tasks/"), status(key, "/projects/")) == (200, 200)

    User.objects.filter(pk=planner.pk).update(is_active=False)

    assert (status(key, "/tasks/"), status(key, "/projects/"), status(key, "/media/a.webp")) == (401, 401, 401)


# --- The password ------------------------------------------------------------------------------------
NEW = "a long enough one"


def by_the_form_of_an_administrator(user: User, administrator: Client) -> None:
    form = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    assert administrator.post(f"/admin/auth/user/{user.pk}/password/", form).status_code == 302


def by_the_form_of_the_user(user: User, administrator: Client) -> None:
    client = Client()
    client.force_login(user)
    form = {"old_password": "correct horse", "new_password1": NEW, "new_password2": NEW}
    assert client.post("/admin/password_change/", form).status_code == 302


def by_the_command(user: User, administrator: Client) -> None:
    with patch("getpass.getpass", lambda **_: NEW):
        call_command("changepassword", user.username, stdout=StringIO())


def by_code(user: User, administrator: Client) -> None:
    user.set_password(NEW)
    user.save()


def by_code_that_assigns_a_hash(user: User, administrator: Client) -> None:
    user.password = make_password(NEW)
    user.save()


def by_an_update(user: User, administrator: Client) -> None:
    User.objects.filter(pk=user.pk).update(password=make_password(NEW))


def by_making_it_unusable(user: User, administrator: Client) -> None:
    user.set_unusable_password()
    user.save()


DOORS = [
    by_the_form_of_an_administrator,
    by_the_form_of_the_user,
    by_the_command,
    by_code,
    by_code_that_assigns_a_hash,
    by_an_update,
    by_making_it_unusable,
]


@pytest.mark.parametrize("change", DOORS, ids=lambda door: door.__name__)
def test_tokens_and_the_calendar_feed_end_with_the_password(change, planner, as_superuser):
    key = asked_for(username="paula")
    _, secret = new_token(user=planner)
    feed = f"/calendar/{secret}.ics"
    assert (status(key, "/tasks/"), status(key, "/projects/"), Client().get(feed).status_code) == (200, 200, 200)

    change(planner, as_superuser)

    assert (status(key, "/tasks/"), status(key, "/projects/"), Client().get(feed).status_code) == (401, 401, 404)


def test_a_token_counts_under_the_password_it_was_asked_for_with(planner):
    stale = User.objects.get(pk=planner.pk)
    by_code(planner, Client())

    _, key = issue_token(user=stale)

    assert status(key) == 401


@pytest.fixture
def outdated(planner, settings):
    """Yield the planner with a hash of one iteration, while new hashes have two."""
    settings.PASSWORD_HASHERS = ["accounts.hashers.LoginUpgradedHasher"]
    weak = LoginUpgradedHasher().encode("correct horse", "0123456789abcdef012345", iterations=1)
    User.objects.filter(pk=planner.pk).update(password=weak)
    planner.refresh_from_db()
    with patch.object(LoginUpgradedHasher, "iterations", 2):
        yield planner


def test_a_stronger_hash_of_the_same_password_ends_no_token_and_no_feed(outdated):
    weak = outdated.password
    _, key = issue_token(user=outdated)
    _, secret = new_token(user=outdated)

    asked_for(username="paula")

    outdated.refresh_from_db()
    assert outdated.password != weak
    assert status(key, "/tasks/") == 200
    assert owner_of(secret) == outdated


def test_a_login_that_checked_the_old_password_does_not_undo_a_new_one(outdated):
    checked = User.objects.get(pk=outdated.pk)
    outdated.set_password("another horse")
    outdated.save(update_fields=["password"])

    assert not strengthen_hash(checked, "correct horse")

    outdated.refresh_from_db()
    assert outdated.check_password("another horse")


def test_the_second_of_two_logins_at_once_keeps_the_hash_of_the_first(outdated):
    first, second = User.objects.get(pk=outdated.pk), User.objects.get(pk=outdated.pk)
    assert strengthen_hash(first, "correct horse")
    _, key = issue_token(user=first)

    assert strengthen_hash(second, "correct horse")

    assert second.password == first.password
    assert status(key, "/tasks/") == 200


def test_a_check_of_a_password_writes_nothing(outdated, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert outdated.check_password("correct horse")


# --- Use -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/tasks/", "/chats/"])
def test_a_use_is_noted_once_in_ten_minutes(superuser, path, django_assert_num_queries):
    token, key = issue_token(user=superuser)
    assert status(key, path) == 200
    token.refresh_from_db()
    first = token.last_used_at
    assert first is not None

    assert status(key, path) == 200
    token.refresh_from_db()
    assert token.last_used_at == first
    with time_machine.travel(first + timedelta(minutes=11)):
        assert status(key, path) == 200
    token.refresh_from_db()
    assert token.last_used_at > first
