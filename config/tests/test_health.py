import json
import threading

import pytest

from config import probes
from config.signs import leave_sign, sign_age
from config.tests.ports import free_port


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
    assert set(body["parts"]) == {"database", "redis", "broker", "storage", "isolation", "worker", "runner", "beat"}
    assert body["parts"]["isolation"]["detail"] == "no run yet"
    assert all(part["ok"] for part in body["parts"].values())


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_never_heard_of_is_said_so(client):
    leave_sign("beat")

    answer = client.get("/health/")

    assert answer.status_code == 503
    assert answer.json()["status"] == "degraded"
    assert answer.json()["parts"]["worker"] == {"ok": False, "detail": "not heard of yet", "age": None}


@pytest.mark.django_db(transaction=True)
def test_a_part_that_fails_is_reported_and_the_others_are_still_asked(client, settings):
    assert json.loads(client.get("/health/").content)["parts"]["redis"]["ok"] is True

    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    parts = json.loads(client.get("/health/").content)["parts"]

    assert parts["redis"]["ok"] is False
    assert parts["redis"]["detail"] == "does not answer (ConnectionError)"
    assert parts["database"]["ok"] is True


@pytest.mark.django_db(transaction=True)
def test_a_part_that_hangs_is_reported_while_it_hangs(client, monkeypatch):
    asked, released = threading.Event(), threading.Event()

    def hangs() -> str:
        asked.set()
        released.wait(60)
        return "answers"

    monkeypatch.setattr(probes, "broker", hangs)
    try:
        parts = json.loads(client.get("/health/").content)["parts"]

        assert asked.is_set() and not released.is_set()
        assert parts["broker"] == {"ok": False, "detail": "does not answer in time", "age": None}
        assert parts["database"]["ok"] is True
    finally:
        released.set()

    assert json.loads(client.get("/health/").content)["parts"]["broker"]["ok"] is True


def test_a_sign_of_life_grows_older():
    leave_sign("worker", "host")

    assert sign_age("worker") < 5
    assert sign_age("nobody") is None
