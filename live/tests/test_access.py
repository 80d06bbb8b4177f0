"""Who may connect and what they may watch; revoked users are disconnected."""

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AccessToken
from accounts.tokens import issue_token
from live import topics
from live.access import Credential, look_up
from live.hub import CHECK_SECONDS
from live.subscriber import FORBIDDEN, SIGNED_OUT
from live.tests.conftest import HOST, ORIGIN, headers, publish

pytestmark = pytest.mark.django_db(transaction=True)
in_database = database_sync_to_async


@pytest.fixture
def stranger(transactional_db) -> User:
    return User.objects.create_user("sam")


@pytest.fixture
def users_topic(monkeypatch) -> None:
    monkeypatch.setattr(topics, "_permissions", topics._permissions | {"users": "auth.view_user"})


async def test_nobody_anonymous_comes_in(connect):
    socket = await connect(given=[(b"host", HOST), (b"origin", ORIGIN)])

    assert await socket.close_code() == SIGNED_OUT


@pytest.mark.parametrize("cookie", ["opsroom_session_8000=nonsense", "a;b;;=", "\xff\xfe"])
async def test_a_cookie_that_is_nobodys_is_as_none(connect, cookie):
    socket = await connect(given=[(b"host", HOST), (b"origin", ORIGIN), (b"cookie", cookie.encode("latin-1"))])

    assert await socket.close_code() == SIGNED_OUT


async def test_a_token_opens_the_socket_without_an_origin(connect, token):
    for given in ([(b"authorization", f"Token {token}".encode())], []):
        protocols = [] if given else ["opsroom", f"token.{token}"]
        socket = await connect(given=[(b"host", HOST), *given], subprotocols=protocols)

        assert (await socket.subscribe("broadcasts"))["topics"] == ["broadcasts"]
        assert socket.answer == ("opsroom" if protocols else None)


async def test_a_wrong_token_is_not_made_good_by_a_cookie(connect, viewer):
    socket = await connect(given=await in_database(headers)(viewer, authorization="Token nonsense"))

    assert await socket.close_code() == SIGNED_OUT


async def test_a_token_in_the_address_is_no_token(connect, token):
    socket = await connect(given=[(b"host", HOST), (b"origin", ORIGIN)], query=f"?token={token}")

    assert await socket.close_code() == SIGNED_OUT


async def test_a_topic_one_may_not_see_is_an_error_and_nothing_of_it_is_heard(connect, stranger, viewer):
    outside, inside = await connect(stranger), await connect(viewer)
    await inside.subscribe("broadcast:7")

    for topic in ("broadcasts", "broadcast:7"):
        assert (await outside.subscribe(topic, since=0))["type"] == "error"
        assert (await outside.hear())["topics"] == []
    await publish("broadcast:7", "secret", {})

    assert (await inside.hear())["type"] == "secret"
    assert await outside.receive_nothing(0.3)


async def test_each_topic_has_its_own_permission(connect, viewer, users_topic):
    socket = await connect(viewer)

    assert (await socket.subscribe("users", "broadcasts"))["topic"] == "users"
    assert (await socket.hear())["topics"] == ["broadcasts"]


async def test_a_superuser_may_watch_every_topic_there_is(connect, users_topic, transactional_db):
    socket = await connect(await in_database(User.objects.create_superuser)("root"))

    assert (await socket.subscribe("users", "broadcasts"))["topics"] == ["users", "broadcasts"]


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def sign_out(user: User) -> None:
    Session.objects.all().delete()


def change_password(user: User) -> None:
    user.set_password("battery staple")
    user.save(update_fields=["password"])


def delete(user: User) -> None:
    user.delete()


def let_the_session_expire(user: User) -> None:
    Session.objects.update(expire_date="2000-01-01T00:00:00Z")


def withdraw_permission(user: User) -> None:
    user.groups.clear()


@pytest.mark.parametrize(
    ("revoke", "code"),
    [
        (deactivate, SIGNED_OUT),
        (sign_out, SIGNED_OUT),
        (change_password, SIGNED_OUT),
        (delete, SIGNED_OUT),
        (let_the_session_expire, SIGNED_OUT),
        (withdraw_permission, FORBIDDEN),
    ],
)
async def test_a_revoked_user_is_closed_at_the_next_check(connect, hub, viewer, revoke, code):
    socket = await connect(viewer)
    await socket.subscribe("broadcasts")
    await hub.check()
    assert await socket.receive_nothing(0.05)

    await in_database(revoke)(viewer)
    await hub.check()

    assert await socket.close_code() == code


async def test_a_deleted_token_is_closed_at_the_next_check(connect, hub, token):
    socket = await connect(given=[(b"host", HOST), (b"authorization", f"Token {token}".encode())])

    await in_database(AccessToken.objects.all().delete)()
    await hub.check()

    assert await socket.close_code() == SIGNED_OUT


async def test_a_permission_given_later_counts_after_the_next_check(connect, hub, stranger):
    socket = await connect(stranger)
    assert (await socket.subscribe("broadcasts"))["type"] == "error"
    await socket.hear()

    await in_database(stranger.user_permissions.add)(await Permission.objects.aget(codename="view_broadcast"))
    await hub.check()

    assert (await socket.subscribe("broadcasts"))["topics"] == ["broadcasts"]


async def test_checks_happen_by_themselves_often_enough(connect, viewer, monkeypatch):
    assert CHECK_SECONDS <= 45
    monkeypatch.setattr("live.hub.CHECK_SECONDS", 0.2)
    socket = await connect(viewer)

    await in_database(deactivate)(viewer)

    assert await socket.close_code() == SIGNED_OUT


def test_four_queries_check_any_number_of_sockets():
    users = User.objects.bulk_create([User(username=f"user{n}") for n in range(50)])
    credentials = [Credential("token", issue_token(user=user)[1]) for user in users]
    AccessToken.objects.mark_used()

    with CaptureQueriesContext(connection) as queries:
        found = look_up(credentials)

    assert len(found) == 50 and len(queries) <= 4
