import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from config.monitoring import health, service_checks
from config.processes import heartbeats
from config.processes.heartbeats import KINDS, heartbeat_age, write_heartbeat
from config.tests.ports import free_port


@pytest.fixture(autouse=True)
def _a_new_look_each_time(monkeypatch) -> None:
    monkeypatch.setattr(health, "FRESH", -1.0)
    monkeypatch.setattr(health, "KEPT", -1.0)
    # Threads of earlier tests have caches of earlier tests.
    monkeypatch.setattr(health, "shared", health.SharedCheck())
    monkeypatch.setattr(health, "_pool", ThreadPoolExecutor(8))
    monkeypatch.setattr(health, "_asked", {})


def test_ping_needs_no_database_and_no_login(client):
    answer = client.get("/ping/")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert "T" in answer.json()["time"]


@pytest.mark.django_db(transaction=True)
def test_health_names_every_part_with_its_state(client):
    for kind in ("worker", "runner", "beat"):
        write_heartbeat(kind)

    answer = client.get("/health/")

    body = answer.json()
    assert answer.status_code == 200, body
    assert body["status"] == "ok"
    assert set(body["parts"]) == {"database", "redis", "broker", "storage", "isolation", *KINDS}
    assert body["parts"]["isolation"]["detail"] == "no run yet"
    assert all(part["ok"] for part in body["parts"].values())


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_was_never_heard_of_is_said_so(client):
    write_heartbeat("beat")

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

    monkeypatch.setattr(service_checks, "broker", hangs)
    try:
        parts = json.loads(client.get("/health/").content)["parts"]

        assert asked.is_set() and not released.is_set()
        assert parts["broker"] == {"ok": False, "detail": "does not answer in time", "age": None}
        assert parts["database"]["ok"] is True
    finally:
        released.set()

    assert json.loads(client.get("/health/").content)["parts"]["broker"]["ok"] is True


def sign_of(kind: str, host: str, pid: int, seconds_ago: float) -> None:
    """Write a heartbeat of a process on another host."""
    heartbeats._client().hset(heartbeats._key(), f"{kind}|{host}|{pid}", str(time.time() - seconds_ago))


@pytest.mark.django_db(transaction=True)
def test_one_of_two_workers_that_is_silent_is_named(client):
    for kind in ("worker", "runner", "beat"):
        write_heartbeat(kind)
    sign_of("worker", "host-b", 7, seconds_ago=40)

    answer = client.get("/health/")

    worker = answer.json()["parts"]["worker"]
    assert answer.status_code == 503
    assert worker["ok"] is False and worker["detail"] == "worker@host-b/7 was last heard of 40 s ago"
    assert [(each["name"], each["ok"]) for each in worker["processes"]] == [
        (f"worker@{socket.gethostname()}/{os.getpid()}", True),
        ("worker@host-b/7", False),
    ]
    assert answer.json()["parts"]["beat"]["ok"] is True


def test_a_sign_of_life_grows_older_and_is_forgotten():
    sign_of("worker", "here", 1, seconds_ago=100)
    sign_of("worker", "there", 1, seconds_ago=3)
    sign_of("worker", "long-gone", 1, seconds_ago=heartbeats.MAX_AGE + 1)

    assert [(sign.host, round(sign.age)) for sign in heartbeats.all_heartbeats()] == [("there", 3), ("here", 100)]
    assert round(heartbeat_age("worker")) == 3
    assert round(heartbeat_age("worker", "here")) == 100
    assert heartbeat_age("worker", "nowhere") is None and heartbeat_age("beat") is None


def test_a_process_takes_its_sign_back_when_it_ends():
    write_heartbeat("worker")
    assert heartbeat_age("worker") < 5

    heartbeats.remove_heartbeat("worker")

    assert heartbeat_age("worker") is None


def test_a_loop_that_leaves_signs_does_not_wait_for_a_name_server_that_is_silent(monkeypatch, settings):
    asked, answered = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> None:
        asked.set()
        answered.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    settings.REDIS_URL = "redis://redis.example:6379/0"
    monkeypatch.setattr(heartbeats, "_client", heartbeats._client.__wrapped__)
    monkeypatch.setattr(heartbeats, "_rest_until", 0.0)
    try:
        heartbeats.write_heartbeat_soon("worker")
        assert asked.wait(10)
        heartbeats.write_heartbeat_soon("worker")

        assert heartbeats._writing.is_alive()
    finally:
        answered.set()
        heartbeats._writing.join()


def test_the_sign_of_a_dead_process_goes_when_another_takes_its_place(monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    sign_of("worker", here, ended.pid, seconds_ago=40)
    sign_of("beat", here, ended.pid, seconds_ago=40)
    sign_of("worker", "host-b", ended.pid, seconds_ago=40)

    monkeypatch.setattr(heartbeats, "_is_first", True)
    monkeypatch.setattr(heartbeats, "_rest_until", time.monotonic() + 60)
    write_heartbeat("worker")  # Redis is unreachable at that moment
    monkeypatch.setattr(heartbeats, "_rest_until", 0.0)
    write_heartbeat("worker")

    left = {(sign.kind, sign.host) for sign in heartbeats.all_heartbeats()}
    assert left == {("worker", here), ("beat", here), ("worker", "host-b")}
    assert heartbeat_age("worker", here) < 5


def test_each_process_is_in_the_metrics(as_superuser):
    write_heartbeat("beat")

    page = as_superuser.get("/metrics").content.decode()

    name = f"beat@{socket.gethostname()}/{os.getpid()}"
    assert f'opsroom_process_silence_seconds{{kind="beat",process="{name}"}} ' in page
