"""ETag, If-None-Match and If-Match: at every URL whose representation can be changed, also concurrently."""

import re
import threading
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from chats.models import Broadcast
from config.tests.matrix import create_everything
from config.tests.rest_routes import ROUTES, RestRoute
from config.tests.test_put_what_get_gave import rows
from core.tests.interleaving import Run, interleave, waits
from core.tests.together import together
from events import services
from events.factories import NotificationFactory
from events.models import Notification
from projects.factories import ProjectFactory, TaskFactory
from projects.models import Project, Task
from testrunner.factories import RunFactory

WRITES = ("PUT", "PATCH", "DELETE")
DETAILS = [route for route in ROUTES if "GET" in route.methods and {*WRITES} & {*route.methods}]
CHANGING = [(method, route) for route in DETAILS for method in ("PUT", "PATCH") if method in route.methods]
# A change of each representation: a new URL fails until it has a line here.
CHANGES = {
    "applications/<int:pk>/": {"rate": 17},
    "broadcasts/<int:pk>/": {"text": "Another one"},
    "environments/<int:pk>/": {"description": "Another one"},
    "event-types/<int:pk>/": {"description": "Another one"},
    "events/<int:pk>/": {"data": {"another": "one"}},
    "notifications/<any_uuid:event_id>/": {"description": "Another one"},
    "projects/<int:pk>/": {"name": "Another one"},
    "tasks/<int:pk>/": {"title": "Another one"},
    "tasks/<int:task_id>/comments/<int:pk>/": {"content": "Another one"},
}
CREATED = {
    "/applications/": {"name": "New"},
    "/broadcasts/": {"text": "New", "audience": "all", "send_at": "2030-01-01T00:00:00+02:00"},
    "/chats/": {"user_uuid": "6F9619FF8B86D011B42D00C04FC964FF"},
    "/event-types/": {"category": "new", "name": "new", "schema": {"required": ["a"]}, "note": "First"},
    "/notifications/": {"user_id": "new", "description": "New"},
    "/projects/": {"name": "New"},
    "/tasks/": {"project": 1_000_000, "title": "New", "due_date": "2030-01-01T00:00:00.123456+02:00"},
    "/tasks/1000000/comments/": {"content": "New"},
}
NOT_DELETABLE = {"applications/<int:pk>/", "test-files/<int:pk>/"}  # with events; of another root than the uploads
NOT_MADE_HERE = {"/test-files/", "/test-runs/"}  # a multipart body; a run cannot be changed by PUT or PATCH


@pytest.fixture
def api(superuser) -> APIClient:
    create_everything()
    Broadcast.objects.update(status="scheduled", send_at="2030-01-01T00:00:00Z")
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(superuser)
    return client


def etag_of(api: APIClient, path: str) -> str:
    answer = api.get(path)
    assert answer.status_code == 200, path
    return answer.headers["ETag"]


def write(api: APIClient, method: str, route: RestRoute, if_match: str):
    if method == "DELETE":  # with a content type, a missing body would be parsed as JSON
        return api.delete(route.path, headers={"if-match": if_match})
    given = CHANGES[route.route]
    if method == "PUT":
        given = {**api.get(route.path).json(), **given}
    return getattr(api, method.lower())(route.path, given, format="json", headers={"if-match": if_match})


def test_every_changeable_representation_is_tried():
    assert {route.route for _, route in CHANGING} == set(CHANGES)
    assert len(DETAILS) >= 12


@pytest.mark.django_db
def test_get_has_an_etag_and_answers_304_to_whom_has_it(api):
    for route in DETAILS:
        etag = etag_of(api, route.path)

        for known in (etag, f"W/{etag}", f'"other", {etag}', "*", f' W/"a" ,W/{etag} '):
            answer = api.get(route.path, headers={"if-none-match": known})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag), (route, known)
            assert api.head(route.path, headers={"if-none-match": known}).status_code == 304
        for unknown in ('"other"', "no tag", f"{etag}"[:-1], '"', ""):
            assert api.get(route.path, headers={"if-none-match": unknown}).status_code == 200, (route, unknown)


@pytest.mark.django_db
def test_a_write_with_another_etag_is_412_and_changes_nothing(api):
    for route in DETAILS:
        etag = etag_of(api, route.path)
        before = rows()
        for method in set(WRITES) & set(route.methods):
            stale_forms = ('"other"', f"W/{etag}", '"a", "b"', f'W/{etag}, "b"', '""')
            for stale in stale_forms if route == DETAILS[0] else stale_forms[1:2]:  # one parser reads all of them
                answer = write(api, method, route, stale)

                assert answer.status_code == 412, (method, route, stale, answer.content)
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert "GET" in answer.json()["detail"] and "Nothing was changed." in answer.json()["detail"]
            malformed_forms = (etag[:-1], "other", f"{etag} {etag}", '"a"b', "")
            for malformed in malformed_forms if route == DETAILS[0] else malformed_forms[:1]:
                answer = write(api, method, route, malformed)
                assert answer.status_code == 400, (method, route, malformed)
                assert "with its quotes" in answer.json()["detail"]
        assert rows() == before, route


@pytest.mark.django_db
def test_a_write_with_the_etag_of_now_is_done(api):
    for route in DETAILS:
        for method in set(WRITES) & set(route.methods):
            for form in ("{}", "*", '"other", {}') if route == DETAILS[0] else ("{}",):
                with transaction.atomic():
                    answer = write(api, method, route, form.format(etag_of(api, route.path)))
                    transaction.set_rollback(True)

                is_kept = method == "DELETE" and route.route in NOT_DELETABLE
                assert answer.status_code in ([409] if is_kept else [200, 204]), (method, route, answer.content)


@pytest.mark.django_db
def test_the_answer_to_a_change_has_the_etag_of_the_next_get(api):
    for method, route in CHANGING:
        before = etag_of(api, route.path)

        answer = write(api, method, route, "*")

        assert answer.headers["ETag"] == etag_of(api, route.path), (method, route)
        if method == "PATCH" or "PATCH" not in route.methods:
            changed = write(api, method, route, before)
            assert changed.status_code == 412 or answer.headers["ETag"] == before, (method, route)


@pytest.mark.django_db
def test_what_was_changed_meanwhile_is_not_overwritten(api):
    for method, route in CHANGING:
        member = next(iter(CHANGES[route.route]))
        seen = api.get(route.path)
        other = another(member, f"Somebody else's {method}", len(method))
        changed = api.generic(
            method, route.path, api._encode_data({**seen.json(), member: other}, "json")[0], "application/json"
        )
        assert changed.status_code == 200, changed.content

        answer = write(api, method, route, seen.headers["ETag"])

        assert answer.status_code == 412, (method, route)
        assert api.get(route.path).json()[member] == other


@pytest.mark.django_db
def test_the_answer_to_a_creating_post_has_the_etag_of_what_was_created(api):
    lists = {f"/{route.route}" for route in ROUTES if "POST" in route.methods and not route.route.endswith(">/")}
    by_shape = {re.sub(r"<(?:\w+:)?\w+>", "1000000", path) for path in lists}
    assert set(CREATED) | NOT_MADE_HERE <= by_shape
    for path, body in CREATED.items():
        made = api.post(path, body, format="json")

        assert made.status_code in (201, 202), (path, made.content)
        key = next(name for name in ("id", "user_uuid", "event_id") if name in made.json())
        assert made.headers["ETag"] == etag_of(api, f"{path}{made.json()[key]}/"), path


def another(member: str, text: str, number: int) -> object:
    """Return a new value of a member that CHANGES changes."""
    return {"rate": number, "data": {"value": text}}.get(member, text)


# --- Members that change by themselves -------------------------------------------------------------
@pytest.mark.django_db
def test_a_run_that_is_queued_is_another_representation_and_no_lost_update(api):
    seen = etag_of(api, "/environments/17/")
    RunFactory(environment_id=17)

    assert api.get("/environments/17/", headers={"if-none-match": seen}).status_code == 200
    change = api.patch("/environments/17/", {"description": "New"}, format="json", headers={"if-match": seen})
    assert change.status_code == 200


@pytest.mark.django_db
def test_a_failed_attempt_to_send_is_no_lost_update_and_a_sent_notification_is_one(api):
    notification = NotificationFactory()
    path = f"/notifications/{notification.pk}/"
    seen = etag_of(api, path)

    def put(description: str) -> int:
        return api.put(path, {"description": description}, format="json", headers={"if-match": seen}).status_code

    Notification.objects.filter(pk=notification.pk).update(attempts=1, error="The chat is away.")
    assert put("Late") == 200
    seen = etag_of(api, path)
    services.update_notification(event_id=notification.pk, status="Processed")
    assert put("Later") == 412


# --- Concurrent requests ---------------------------------------------------------------------------
def two_at_once(*works: Callable[[], object]) -> list[int]:
    answers: list[int] = []
    assert together(*(lambda work=work: answers.append(work().status_code) for work in works)) == []
    return sorted(answers)


def clients(user, number: int) -> list[APIClient]:
    made = [APIClient(raise_request_exception=False) for _ in range(number)]
    for client in made:
        client.force_authenticate(user)
    return made


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_with_the_same_etag_one_wins_at_every_address(api, superuser):
    one, other = clients(superuser, 2)
    for method, route in CHANGING:
        member = next(iter(CHANGES[route.route]))
        for turn in range(2):
            shown = api.get(route.path)
            values = [another(member, f"{method} {turn} {name}", 20 + turn * 2 + name) for name in (1, 2)]

            def change(client, value, shown=shown, member=member, method=method, route=route):
                body = {**shown.json(), member: value}
                headers = {"if-match": shown.headers["ETag"]}
                return getattr(client, method.lower())(route.path, body, format="json", headers=headers)

            answers = two_at_once(partial(change, one, values[0]), partial(change, other, values[1]))
            assert answers == [200, 412], (method, route)
            assert api.get(route.path).json()[member] in values


@pytest.mark.django_db(transaction=True)
def test_a_change_and_a_deletion_with_the_same_etag_are_not_both_done(superuser):
    one, other = clients(superuser, 2)
    for _ in range(5):
        path = f"/tasks/{TaskFactory().pk}/"
        headers = {"if-match": etag_of(one, path)}

        answers = two_at_once(
            lambda path=path, headers=headers: one.patch(path, {"title": "New"}, format="json", headers=headers),
            lambda path=path, headers=headers: other.delete(path, headers=headers),
        )

        assert answers in ([200, 412], [204, 404], [204, 412])


@pytest.mark.django_db(transaction=True)
def test_the_victim_of_a_deadlock_is_answered_503_and_has_changed_nothing(superuser):
    task, other = TaskFactory(title="Before"), ProjectFactory()
    [client] = clients(superuser, 1)
    path = f"/tasks/{task.pk}/"
    headers = {"if-match": etag_of(client, path)}
    answers = []

    def move() -> None:  # locks the project, then waits for the task
        answers.append(client.patch(path, {"project": other.pk}, format="json", headers=headers))

    run = Run(move)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=task.pk)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '10s'")
        run.start()
        while not waits(run.pid):
            run.join(0.01)
        Project.objects.select_for_update().get(pk=other.pk)
    run.join(20)

    assert (answers[0].status_code, answers[0].headers["Retry-After"]) == (503, "5")
    assert Task.objects.get(pk=task.pk).project_id == task.project_id
    assert client.patch(path, {"project": other.pk}, format="json", headers=headers).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_change_that_commits_between_comparison_and_write_is_not_possible(superuser):
    one, other = clients(superuser, 2)
    stopped = threading.Event()
    for after in range(1, 30):
        task = TaskFactory()
        path = f"/tasks/{task.pk}/"
        headers = {"if-match": etag_of(one, path)}
        answers: dict[str, int] = {}

        def change(name, client, path=path, headers=headers, answers=answers):
            answer = client.patch(path, {"title": name}, format="json", headers=headers)
            answers[name] = answer.status_code

        has_so_many, errors = interleave(
            lambda change=change: change("first", one), lambda change=change: change("second", other), after
        )

        assert errors == []
        assert sorted(answers.values()) == [200, 412], (after, answers)
        winner = next(name for name, status in answers.items() if status == 200)
        assert Task.objects.get(pk=task.pk).title == winner
        if not has_so_many:
            stopped.set()
            break
    assert stopped.is_set()
