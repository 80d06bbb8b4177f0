"""Each request has an id that its sender may choose, and the log contains its duration."""

import pytest


def finished(caplog, event: str = "request_finished") -> dict:
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return next(line for line in lines if line["event"] == event)


@pytest.fixture
def client(client, caplog):
    caplog.set_level("INFO", "django_structlog.middlewares.request")
    client.raise_request_exception = False
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/ping/", "/nothing/", "/chats/", "/admin/"])
def test_the_id_of_a_request_is_taken_logged_and_returned(client, caplog, path):
    answer = client.get(path, headers={"x-request-id": "order-7_a.b"})

    assert answer.headers["X-Request-ID"] == "order-7_a.b"
    assert finished(caplog)["request_id"] == "order-7_a.b"


@pytest.mark.django_db
@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a=b", "ž", "id\x1b[31m", '"'])
def test_an_id_that_cannot_be_logged_as_it_is_is_replaced(client, caplog, given):
    answer = client.get("/ping/", headers={"x-request-id": given})

    made = answer.headers["X-Request-ID"]
    assert made != given and len(made) == 32 and finished(caplog)["request_id"] == made


@pytest.mark.django_db
def test_the_log_says_how_long_a_request_took_also_one_that_failed(client, caplog, as_superuser, monkeypatch):
    as_superuser.raise_request_exception = False
    client.get("/ping/")
    monkeypatch.setattr("django.db.models.query.QuerySet.__iter__", lambda self: 1 / 0)
    failed = as_superuser.get("/chats/", headers={"x-request-id": "broken"})

    assert failed.status_code == 500 and failed.headers["X-Request-ID"] == "broken"
    assert finished(caplog)["duration_ms"] >= 0 and finished(caplog, "request_failed")["duration_ms"] >= 0


def test_an_answer_that_a_middleware_gives_has_the_id(client, settings):
    settings.SECURE_SSL_REDIRECT = True

    answer = client.get("/admin/", headers={"x-request-id": "early"})

    assert (answer.status_code, answer.headers["X-Request-ID"]) == (301, "early")
