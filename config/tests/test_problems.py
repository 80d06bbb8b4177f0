"""All error responses have the same shape."""

import pytest
from django.db import DataError, OperationalError

from config.rest.error_handlers import exception_handler
from core.http.problem import CONTENT_TYPE

pytestmark = pytest.mark.django_db


def is_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"].startswith(CONTENT_TYPE)
    body = answer.json()
    assert body["status"] == status and body["title"] and body["detail"]
    return body


def test_a_stranger_is_asked_for_a_token(anon_api):
    answer = anon_api.get("/chats/")

    is_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Token"


def test_a_missing_permission_is_403(viewer_api):
    is_problem(viewer_api.post("/broadcasts/banner/"), 403)


def test_a_wrong_field_is_named(marketer_api):
    body = is_problem(marketer_api.post("/chats/", {"user_uuid": "nonsense"}), 400)

    assert body["detail"].startswith("user_uuid: ")
    assert list(body["errors"]) == ["user_uuid"]


def test_a_body_that_is_not_json_is_400(marketer_api):
    is_problem(marketer_api.post("/chats/", data="{", content_type="application/json"), 400)


def test_nothing_at_an_address_is_404_for_a_program_and_a_page_for_a_person(client):
    is_problem(client.get("/nothing/"), 404)

    page = client.get("/nothing/", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")


def test_a_method_that_is_not_there_is_405(superuser, client):
    client.force_login(superuser)

    is_problem(client.delete("/chats/"), 405)


@pytest.mark.parametrize("path", ["/chats/", "/admin/chats/chat/"])
def test_a_database_that_is_away_is_503_with_the_time_to_try_again(superuser, client, monkeypatch, path):
    def away(*args, **kwargs):
        raise OperationalError("server closed the connection unexpectedly")

    client.force_login(superuser)
    client.raise_request_exception = False
    monkeypatch.setattr("django.db.models.query.QuerySet.__iter__", away)

    answer = client.get(path)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"


def test_a_token_is_had_for_a_username_and_a_password(marketer, client):
    answer = client.post("/auth/token/", {"username": "mara", "password": "correct horse"})

    assert answer.status_code == 200
    token = answer.json()["token"]
    assert client.get("/chats/", headers={"Authorization": f"Token {token}"}).status_code == 200


def test_a_wrong_password_is_400(marketer, client):
    is_problem(client.post("/auth/token/", {"username": "mara", "password": "guess"}), 400)


def test_what_no_column_can_hold_or_compare_is_a_problem_of_the_callers():
    response = exception_handler(DataError("time zone displacement out of range"), {})

    assert response is not None
    assert (response.status_code, response.data["title"]) == (400, "Bad Request")
    assert response.content_type == "application/problem+json"
