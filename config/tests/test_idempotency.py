"""`Idempotency-Key`: at every URL with POST, for every kind of caller, concurrently, and with killed processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AccessToken
from accounts.tokens import issue_token
from chats.models import Broadcast
from chats.tests.banner_list import banner_list  # noqa: F401
from config.tests.matrix import ENVIRONMENT, ID, create_everything
from config.tests.rest_routes import ROUTES
from config.tests.test_answers_after_commit import EndBefore
from config.tests.test_put_what_get_gave import rows
from config.tests.web_process import web_process
from core.data import retention
from core.models import IdempotencyKey
from core.rest.answer_encryption import seal, unseal
from core.rest.idempotency import HEADER, REPLAYED
from core.tests import evil_server as evil
from core.tests.evil_server import evil_server  # noqa: F401
from core.tests.together import together
from events.models import Application, Notification
from projects.models import Project
from testrunner import services as testruns
from testrunner.factories import RunFactory
from testrunner.models import TestEnvironment, TestFile, TestRun

KEY = {HEADER.lower(): "5f0c6a52-0000-4000-8000-000000000001"}
POSTS = {route.route: route for route in ROUTES if "POST" in route.methods}


def nothing(_: Any) -> None:
    pass


def status_of_broadcast(**fields: Any) -> Callable[[Any], None]:
    return lambda _: Broadcast.objects.filter(pk=ID).update(**fields)


def delivered(_: Any) -> None:
    moments = {"started_at": timezone.now(), "finished_at": timezone.now()}
    Broadcast.objects.filter(pk=ID).update(status="sent", audience_size=1, delivered=1, **moments)


def retracted(_: Any) -> None:
    delivered(_)
    Broadcast.objects.filter(pk=ID).update(retracted_at=timezone.now())


def failed(_: Any) -> None:
    Broadcast.objects.filter(pk=ID).update(status="failed", error="Away", finished_at=timezone.now())


def reserved(user: Any) -> None:
    environment = TestEnvironment.objects.get(pk=ENVIRONMENT)
    testruns.reserve(environment=environment, user=user, duration=timedelta(minutes=5))


def queued_run(_: Any) -> None:
    TestRun.objects.filter(pk=ID).delete()
    RunFactory(pk=ID)


def upload(text: str = "def test_it(): pass\n") -> dict[str, Any]:
    return {"file": SimpleUploadedFile("test_new.py", text.encode()), "directory": "new"}


TASK = {"project": ID, "title": "One", "due_date": None}
# By route: preparation, a body, and another valid body if there is one.
CASES: dict[str, tuple[Callable[[Any], None], Any, Any]] = {
    "applications/": (nothing, {"name": "One"}, {"name": "Two"}),
    "applications/<int:pk>/rotate/": (nothing, {}, {"overlap_hours": 1}),
    "auth/token/": (nothing, {"username": "root", "password": "correct horse"}, None),
    "broadcasts/": (nothing, {"text": "One", "audience": "all"}, {"text": "Two", "audience": "all"}),
    "broadcasts/banner/": (nothing, {}, None),
    "broadcasts/<int:pk>/cancel/": (nothing, {}, None),
    "broadcasts/<int:pk>/pause/": (nothing, {}, None),
    "broadcasts/<int:pk>/restore/": (retracted, {}, None),
    "broadcasts/<int:pk>/resume/": (status_of_broadcast(status="paused"), {}, None),
    "broadcasts/<int:pk>/retract/": (delivered, {}, None),
    "broadcasts/<int:pk>/retry/": (failed, {}, None),
    "calendar/token/": (nothing, {}, None),
    "chats/": (nothing, {"user_uuid": str(UUID(int=7))}, {"user_uuid": str(UUID(int=8))}),
    "chats/<any_uuid:user_uuid>/messages/": (nothing, {"text": "One"}, {"text": "Two"}),
    "chats/<any_uuid:user_uuid>/messages/read/": (nothing, {}, {"up_to": 1}),
    "environments/<int:pk>/release/": (reserved, {}, None),
    "environments/<int:pk>/reserve/": (nothing, {"minutes": 5}, {"minutes": 6}),
    "event-types/": (nothing, {"category": "a", "name": "b"}, {"category": "a", "name": "c"}),
    "event-types/<int:pk>/dry-run/": (nothing, {"schema": {}}, {"schema": {"type": "object"}}),
    "notifications/": (nothing, {"user_id": "u", "description": "One"}, {"user_id": "u", "description": "Two"}),
    "projects/": (nothing, {"name": "One"}, {"name": "Two"}),
    "rejected-events/replay/": (nothing, {"ids": [ID]}, {"ids": [ID, 1]}),
    "rejected-events/<int:pk>/replay/": (nothing, {}, {"dry_run": False}),
    "tasks/": (nothing, TASK, TASK | {"title": "Two"}),
    "tasks/<int:task_id>/comments/": (nothing, {"content": "One"}, {"content": "Two"}),
    "test-files/": (nothing, upload, lambda: upload("def test_it(): assert True\n")),
    "test-runs/": (nothing, {"environment": ENVIRONMENT}, {"environment": 18}),
    "test-runs/<int:pk>/cancel/": (queued_run, {}, None),
    "test-runs/<int:pk>/rerun/": (nothing, {}, {"failed_only": False}),
}  # fmt: skip


@pytest.fixture
def _all_of_it(superuser, settings, tmp_path, banner_list) -> None:  # noqa: F811
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    create_everything()
    banner_list.offers(3)


@pytest.fixture
def api(superuser) -> APIClient:
    return client_of(superuser)


def client_of(user: Any) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


def post(api: APIClient, route: str, body: Any, headers: dict[str, str] = KEY):
    given = body() if callable(body) else dict(body)
    if route == "test-runs/" and "files" not in given:
        found = api.get("/test-files/?root=samples&search=success").json()["results"]
        given["files"] = [found[0]["id"]]
    kind = "multipart" if callable(body) else "json"
    return api.post(POSTS[route].path, given, format=kind, headers=headers)


def test_every_address_with_post_has_a_case():
    assert set(CASES) == set(POSTS)


@pytest.mark.django_db
@pytest.mark.parametrize("route", CASES)
def test_the_same_request_twice_happens_once_and_is_answered_twice(route, _all_of_it, api, superuser):
    prepare, body, other = CASES[route]
    prepare(superuser)

    first = post(api, route, body)
    after = rows() | {"tokens": list(AccessToken.objects.values_list("pk", flat=True))}
    again = post(api, route, body)

    assert first.status_code < 300, first.content
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (again.headers.get(REPLAYED), first.headers.get(REPLAYED)) == ("true", None)
    assert again.headers.get("ETag") == first.headers.get("ETag")
    assert rows() | {"tokens": list(AccessToken.objects.values_list("pk", flat=True))} == after
    if other is not None:
        mismatch = post(api, route, other)
        assert mismatch.status_code == 422, mismatch.content
        assert mismatch.json()["detail"].startswith("This Idempotency-Key was used for another request")
        assert rows() | {"tokens": after["tokens"]} == after


# --- Keys ------------------------------------------------------------------------------------------
BODY = {"user_id": "u", "description": "Hello"}


def notify(api: APIClient, body: Any = BODY, key: str = KEY[HEADER.lower()]):
    return api.post("/notifications/", body, format="json", headers={HEADER.lower(): key})


@pytest.mark.django_db
def test_a_key_belongs_to_its_user(api, analyst_api):
    first, others = notify(api), notify(analyst_api)

    assert (first.status_code, others.status_code) == (201, 201)
    assert first.json()["event_id"] != others.json()["event_id"]
    assert notify(analyst_api).json() == others.json()


@pytest.mark.django_db
def test_a_request_without_a_key_is_another_one_each_time(api):
    for _ in range(2):
        assert api.post("/notifications/", BODY, format="json").status_code == 201
    assert (Notification.objects.count(), IdempotencyKey.objects.count()) == (2, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", " ", "a" * 256, "with space", "schlüssel", "tab\there", '""', "a\x7f"])
def test_an_invalid_key_is_refused_and_nothing_happens(api, key):
    answer = notify(api, key=key)

    assert answer.status_code == 400 and "1 to 255 visible ASCII characters" in answer.json()["detail"]
    assert Notification.objects.count() == 0


@pytest.mark.django_db
def test_a_key_may_be_quoted_as_in_the_draft_of_the_standard(api):
    assert notify(api, key='"abc"').json() == notify(api, key="abc").json()
    assert notify(api, key="a" * 255).status_code == 201


@pytest.mark.django_db
def test_the_same_json_written_otherwise_is_the_same_request(api):
    first = notify(api)

    again = api.generic(
        "POST", "/notifications", b'{ "description":"Hello",\n "user_id": "u"}', "application/json", headers=KEY
    )

    assert (again.status_code, again.json()) == (201, first.json())


@pytest.mark.django_db
def test_a_key_that_was_used_at_another_address_is_422(api):
    notify(api)

    assert api.post("/projects/", {"name": "One"}, format="json", headers=KEY).status_code == 422
    assert Project.objects.count() == 0


@pytest.mark.django_db
def test_a_refused_request_leaves_the_key_free(api):
    assert notify(api, {"user_id": "u"}).status_code == 400
    assert notify(api, {"user_id": "u", "describtion": "x"}).status_code == 400
    assert IdempotencyKey.objects.count() == 0

    assert notify(api).status_code == 201


@pytest.mark.django_db
def test_who_may_not_write_does_not_get_the_answer_of_before(analyst, analyst_api):
    assert notify(analyst_api).status_code == 201
    analyst.groups.clear()

    again = client_of(type(analyst).objects.get(pk=analyst.pk))

    assert notify(again).status_code == 403


@pytest.mark.django_db
def test_a_key_is_free_again_after_a_day_and_the_retention_deletes_it(api):
    notify(api)
    IdempotencyKey.objects.update(expires_at=timezone.now())
    assert notify(api).headers.get(REPLAYED) is None
    assert Notification.objects.count() == 2
    assert (IdempotencyKey.objects.get().expires_at - timezone.now()).total_seconds() > 23 * 3600

    retention.retain()
    assert IdempotencyKey.objects.count() == 1
    IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    retention.retain()
    assert IdempotencyKey.objects.count() == 0


# --- Secrets ---------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_no_secret_and_no_key_stands_in_the_table(api, superuser):
    made = api.post("/applications/", {"name": "One"}, format="json", headers=KEY).json()
    token = api.post(
        "/auth/token/", {"username": "root", "password": "correct horse"}, headers={HEADER.lower(): "other-key"}
    ).json()

    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text, encode(t.sealed, 'escape') FROM live_idempotencykey t")
        stored = str(cursor.fetchall())
    assert IdempotencyKey.objects.count() == 2
    for secret in (made["write_key"], token["token"], "correct horse", KEY[HEADER.lower()], "other-key"):
        assert secret not in stored


@pytest.mark.django_db
def test_a_wrong_password_does_not_get_the_token_of_before(superuser):
    api = APIClient()
    login = {"username": "root", "password": "correct horse"}
    token = api.post("/auth/token/", login, headers=KEY).json()["token"]

    assert api.post("/auth/token/", {**login, "password": "a guess"}, headers=KEY).status_code == 400
    assert api.post("/auth/token/", login, headers=KEY).json()["token"] == token


@pytest.mark.django_db
def test_wrong_passwords_are_counted_also_with_a_key_and_a_token(superuser):
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Token {issue_token(user=superuser)[1]}")
    guess = {"username": "root", "password": "a guess"}

    answers = [api.post("/auth/token/", guess, headers=KEY).status_code for _ in range(6)]

    assert answers == [400] * 4 + [429] * 2


@pytest.mark.django_db
def test_a_key_for_a_token_belongs_to_the_user_whose_password_was_sent(superuser, analyst_api):
    login = {"username": "root", "password": "correct horse"}
    first = analyst_api.post("/auth/token/", login, headers=KEY)

    assert APIClient().post("/auth/token/", login, headers=KEY).json() == first.json()
    assert IdempotencyKey.objects.get().user_id == superuser.pk


@pytest.mark.django_db
def test_every_value_of_a_repeated_field_counts(api):
    def send(*users: int):
        body = {"text": "One", "audience": [str(UUID(int=user)) for user in users]}
        return api.post("/broadcasts/", body, format="multipart", headers=KEY)

    assert send(1, 3).status_code == 202
    assert send(2, 3).status_code == 422
    assert send(1, 3).headers[REPLAYED] == "true"


@pytest.mark.django_db
def test_after_a_change_of_the_secret_key_the_answer_says_that_it_is_lost(api, settings):
    notify(api)
    settings.SECRET_KEY = "another one"

    assert notify(api).status_code == 409
    assert Notification.objects.count() == 1


@pytest.mark.django_db
def test_an_older_secret_key_that_still_counts_reads_the_answer(api, settings):
    first = notify(api)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another one", [settings.SECRET_KEY]

    assert notify(api).json() == first.json()
    assert notify(api, {**BODY, "description": "Other"}).status_code == 422


@pytest.mark.django_db
def test_an_answer_that_cannot_be_read_any_more_is_409_and_nothing_happens(api):
    notify(api)
    IdempotencyKey.objects.update(sealed=b"x" * 100)

    answer = notify(api)

    assert answer.status_code == 409 and "was handled" in answer.json()["detail"]
    assert Notification.objects.count() == 1


def test_sealed_text_is_read_with_its_own_secret_only():
    sealed = seal(b"text", "secret")

    assert unseal(sealed, "secret") == b"text" and b"text" not in sealed
    assert unseal(seal(b"", "secret"), "secret") == b""
    for broken in (sealed[:-1], sealed[:20], b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
        assert unseal(broken, "secret") is None
    assert unseal(sealed, "other") is None
    assert seal(b"text", "secret") != sealed


# --- Concurrent requests and killed processes ------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_handled_the_same_is_409_and_of_many_one_happens(superuser):
    answers: list[Any] = []
    clients = [client_of(superuser) for _ in range(5)]
    works = [lambda client=client: answers.append(notify(client)) for client in clients]

    assert together(*works) == []

    assert Notification.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["Retry-After"] == "1" and "still being handled" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_request_that_is_not_committed_yet_holds_its_key_and_no_other(superuser):
    with transaction.atomic():
        notify(client_of(superuser))
        answers: list[Any] = []
        assert together(
            lambda: answers.append(notify(client_of(superuser))),
            lambda: answers.append(notify(client_of(superuser), key="another")),
        ) == []  # fmt: skip

        assert sorted(answer.status_code for answer in answers) == [201, 409]
        transaction.set_rollback(True)

    assert notify(client_of(superuser)).headers.get(REPLAYED) is None
    assert Notification.objects.count() == 2


ENDED = ["broadcasts/", "applications/", "test-runs/", "test-files/"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "route", ["notifications/", *(pytest.param(route, marks=pytest.mark.thorough) for route in ENDED)]
)
def test_a_session_that_ends_before_any_statement_neither_loses_nor_doubles(route, superuser, settings, tmp_path):
    settings.TEST_UPLOADS_DIR = str(tmp_path)
    models = {"broadcasts/": Broadcast, "applications/": Application, "test-runs/": TestRun, "test-files/": TestFile}
    kind: Any = models.get(route, Notification)
    api = client_of(superuser)
    files = [row["id"] for row in api.get("/test-files/?root=samples&search=success").json()["results"]]
    body = CASES[route][1]
    for number in range(1, 100):
        given = {
            "applications/": {"name": f"App {number}"},
            "test-runs/": {**CASES["test-runs/"][1], "files": files[:1]},
            "test-files/": lambda number=number: upload(f"def test_{number}(): pass\n") | {"directory": f"d{number}"},
        }.get(route, body)
        key = {HEADER.lower(): str(uuid4())}
        before = kind.objects.count()
        ends = EndBefore(number)
        with connection.execute_wrapper(ends):
            first = post(api, route, given, key)
        connection.close()

        again = post(api, route, given, key)

        assert again.status_code in (201, 202), (number, again.content)
        assert kind.objects.count() == before + 1, number
        assert first.status_code == 503 or (first.content == again.content and again.headers[REPLAYED])
        if not ends.hit:
            return
    raise AssertionError("more statements than expected")


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True)
def test_a_web_process_that_is_killed_while_it_sends_a_banner_sends_it_once(tmp_path, superuser, banner_list):  # noqa: F811
    token = issue_token(user=superuser)[1]
    headers = KEY | {"Authorization": f"Token {token}"}
    given = {
        "BANNER_API_URL": f"{banner_list.server.origin}/photos",
        "BANNER_TRUSTED_ORIGINS": banner_list.server.origin,
    }
    asked, go = threading.Event(), threading.Event()

    def slow(connection: evil.Connection) -> None:
        asked.set()
        go.wait(30)

    banner_list.answers(slow)
    with web_process(tmp_path, **given) as web:

        def press() -> None:
            with pytest.raises(requests.ConnectionError):
                requests.post(f"{web.url}/broadcasts/banner/", headers=headers, timeout=30)

        pressing = threading.Thread(target=press)
        pressing.start()
        assert asked.wait(30)
        os.kill(web.pid, signal.SIGKILL)
        pressing.join(30)
    go.set()
    urls = banner_list.offers(3)
    with web_process(tmp_path, **given) as web:
        answers = [requests.post(f"{web.url}/broadcasts/banner/", headers=headers, timeout=30) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json() and answers[0].json()["banner"]["source_url"] == urls[0]
    assert Broadcast.objects.count() == 1


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True)
def test_requests_of_web_processes_that_are_killed_at_any_moment_happen_once_when_they_are_repeated(
    tmp_path, superuser
):
    authorization = {"Authorization": f"Token {issue_token(user=superuser)[1]}"}
    left = [f"key-{number}" for number in range(120)]
    answers: dict[str, str] = {}
    for killed_after in (7, 23, 40, None):
        with web_process(tmp_path) as web, ThreadPoolExecutor(4) as pool:

            def send(key: str, url: str = f"{web.url}/notifications/") -> None:
                headers = authorization | {HEADER: key}
                while True:
                    answer = requests.post(url, json={"user_id": "u", "description": key}, headers=headers, timeout=30)
                    if answer.status_code != 409:  # until Postgres has ended the killed process's session
                        break
                assert answer.status_code == 201, answer.text
                assert answers.setdefault(key, answer.json()["event_id"]) == answer.json()["event_id"]

            sent = [pool.submit(send, key) for key in left]
            for number, future in enumerate(as_completed(sent), 1):
                if number == killed_after:
                    os.kill(web.pid, signal.SIGKILL)
                if error := future.exception():
                    assert isinstance(error, requests.ConnectionError), error

    assert len(answers) == len(left)
    assert sorted(Notification.objects.values_list("description", flat=True)) == sorted(left)
    assert {str(id) for id in Notification.objects.values_list("pk", flat=True)} == set(answers.values())
