import json

import pytest

from config import health
from config.signs import leave_sign, sign_age


def test_ping_needs_no_database_and_no_login(client):
    answer = client.get("/ping/")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert "T" in answer.json()["time"]


@pytest.mark.django_db(transaction=True)
def test_health_names_every_part_with_its_state(client):
    for kind in ("worker", "runner", "beat"):
        leave_sign(kind)

    answer = client.get("/health/")

    body = answer.json()
    assert answer.status_code == 200, body
    assert body["status"] == "ok"
    assert set(body["parts"]) == {"database", "redis", "broker", "worker", "runner", "beat"}
    assert all(part["ok"] for part in body["parts"].values())


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_never_heard_of_is_said_so(client):
    leave_sign("beat")

    answer = client.get("/health/")

    assert answer.status_code == 503
    assert answer.json()["status"] == "degraded"
    assert answer.json()["parts"]["worker"] == {"ok": False, "detail": "not heard of yet", "age": None}


@pytest.mark.django_db(transaction=True)
def test_a_part_that_fails_or_hangs_is_reported_and_does_not_hold_up_the_page(client, monkeypatch):
    def broken() -> str:
        raise OSError("no route")

    monkeypatch.setattr(health, "_broker", broken)

    body = json.loads(client.get("/health/").content)

    assert body["parts"]["broker"]["ok"] is False
    assert body["parts"]["broker"]["detail"] == "does not answer (OSError)"
    assert body["parts"]["database"]["ok"] is True


def test_a_sign_of_life_grows_older():
    leave_sign("worker", "host")

    assert sign_age("worker") < 5
    assert sign_age("nobody") is None
