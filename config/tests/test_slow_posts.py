"""A POST that waits for another service, a process or an image has no open transaction, also with a key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from chats.factories import ChatFactory
from chats.models import Broadcast
from chats.tests.banner_list import banner_list, png  # noqa: F401
from core.images import conversion
from core.tests import evil_server as evil
from core.tests.evil_server import evil_server  # noqa: F401
from events.models import EventType
from events.validation import schema_child
from testrunner.files import uploads

KEY = {"idempotency-key": "5f0c6a52-0000-4000-8000-000000000002"}


class Full(threading.BoundedSemaphore):
    """Slots that are all taken until `release_all`. `is_waited_for` is set once a request waits for one."""

    def __init__(self, places: int) -> None:
        super().__init__(places)
        self.is_waited_for = threading.Event()
        for _ in range(places):
            super().acquire()
        self.places = places

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        self.is_waited_for.set()
        return super().acquire(blocking, timeout)

    def release_all(self) -> None:
        for _ in range(self.places):
            self.release()


def transactions() -> list[str]:
    """Return the last queries of other connections to this database that have an open transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return [query for (query,) in cursor.fetchall()]


@contextmanager
def posting(user: Any, path: str, body: Any, kind: str) -> Iterator[list[Any]]:
    """POST with a key in another thread; yield a list that contains its response in the end."""
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(user)
    answers: list[Any] = []

    def post() -> None:
        try:
            answers.append(api.post(path, body, format=kind, headers=KEY))
        finally:
            connection.close()

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield answers
    finally:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_banner_api_is_asked(superuser, banner_list):  # noqa: F811
    asked, go = threading.Event(), threading.Event()
    urls = banner_list.offers(2)

    def slow(connection: evil.Connection) -> None:
        asked.set()
        go.wait(10)
        photos = [{"url": url} for url in urls] if connection.request.query["offset"] == "0" else []
        evil.answer_json({"success": True, "photos": photos})(connection)

    banner_list.answers(slow)
    with posting(superuser, "/broadcasts/banner/", {}, "json") as answers:
        assert asked.wait(10)
        found = transactions()
        go.set()

    assert found == []
    assert answers[0].status_code == 202
    assert Broadcast.objects.get().banner_url == urls[0]


@pytest.mark.django_db(transaction=True)
def test_a_banner_that_another_request_sends_meanwhile_is_not_sent_twice(superuser, banner_list):  # noqa: F811
    asked, go = threading.Event(), threading.Event()
    urls = banner_list.offers(2)
    photos = {"success": True, "photos": [{"url": url} for url in urls]}

    def slow(connection: evil.Connection) -> None:
        if not asked.is_set():
            asked.set()
            go.wait(10)
        evil.answer_json(photos)(connection)

    banner_list.answers(slow)
    other = APIClient()
    other.force_authenticate(superuser)
    with posting(superuser, "/broadcasts/banner/", {}, "json") as answers:
        assert asked.wait(10)
        assert other.post("/broadcasts/banner/").json()["banner"]["source_url"] == urls[0]
        go.set()

    assert answers[0].status_code == 202
    assert answers[0].json()["banner"]["source_url"] == urls[1]
    assert other.post("/broadcasts/banner/", headers=KEY).content == answers[0].content


PICTURE = png(size=(2000, 1200))  # more pixels than are decoded without a slot
TYPE = {"category": "a", "name": "b", "schema": {"maxProperties": 71}}
CASES: dict[str, tuple[Any, str, str, Any, str]] = {
    "picture of a message": (conversion, "_places", "/chats/{user}/messages/", {"image": PICTURE}, "multipart"),
    "picture of a broadcast": (
        conversion, "_places", "/broadcasts/", {"image": PICTURE, "audience": "all"}, "multipart",
    ),
    "schema": (schema_child, "_places", "/event-types/", TYPE, "json"),
    "dry run": (schema_child, "_places", "/event-types/{type}/dry-run/", {"schema": {"maxProperties": 72}}, "json"),
    "upload": (uploads, "_compilers", "/test-files/", {"file": b"def test_it(): pass\n"}, "multipart"),
}  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("case", CASES)
def test_no_transaction_is_open_while_a_request_waits_for_a_place(case, superuser, monkeypatch, settings, tmp_path):
    settings.TEST_UPLOADS_DIR = str(tmp_path)
    module, name, path, body, kind = CASES[case]
    path = path.format(user=ChatFactory().user_uuid, type=EventType.objects.create(category="x", name="y").pk)
    files = {"image": "picture.png", "file": "test_new.py"}
    sent = {key: SimpleUploadedFile(files[key], value) if key in files else value for key, value in body.items()}
    places = Full(1)
    monkeypatch.setattr(module, name, places)

    with posting(superuser, path, sent, kind) as answers:
        assert places.is_waited_for.wait(10)
        found = transactions()
        places.release_all()

    assert found == []
    assert answers[0].status_code < 300, answers[0].content
