"""Exhausted capacity: 503 with Retry-After, and the same request succeeds later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from chats import services
from chats.banners.next_banner import preview
from chats.broadcasts.prepare import prepare
from chats.factories import BroadcastFactory, ChatFactory
from chats.models import Banner, Broadcast
from chats.tests.banner_list import banner_list, png  # noqa: F401
from config.tests.rest_routes import ROUTES
from core.busy import Busy
from core.images import conversion
from core.tests.evil_server import evil_server  # noqa: F401
from events.models import EventType
from events.query import export
from events.validation import schema_child
from testrunner.files import uploads

LARGE = (2000, 1200)  # more pixels than are decoded without a slot
PLACES = [(conversion, "_places"), (schema_child, "_places"), (uploads, "_compilers"), (export, "_places")]


@contextmanager
def all_places_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for module, name in PLACES:
            if hasattr(module, "WAIT_SECONDS"):
                patch.setattr(module, "WAIT_SECONDS", 0.01)
            taken = threading.BoundedSemaphore(1)
            taken.acquire()
            patch.setattr(module, name, taken)
        yield


def picture() -> SimpleUploadedFile:
    return SimpleUploadedFile("picture.png", png(size=LARGE))


def upload() -> SimpleUploadedFile:
    return SimpleUploadedFile("test_new.py", b"def test_it(): pass\n")


SCHEMA = {"schema": {"maxProperties": 81}}
REST: dict[str, tuple[str, str, Callable[[], Any], str]] = {
    "message": ("post", "/chats/{user}/messages/", lambda: {"image": picture()}, "multipart"),
    "broadcast": ("post", "/broadcasts/", lambda: {"image": picture(), "audience": "all"}, "multipart"),
    "change of a broadcast": ("patch", "/broadcasts/{broadcast}/", lambda: {"image": picture()}, "multipart"),
    "event type": ("post", "/event-types/", lambda: {"category": "a", "name": "b", **SCHEMA}, "json"),
    "change of an event type": ("patch", "/event-types/{type}/", lambda: SCHEMA, "json"),
    "dry run": ("post", "/event-types/{type}/dry-run/", lambda: SCHEMA, "json"),
    "upload": ("post", "/test-files/", lambda: {"file": upload()}, "multipart"),
    "export": ("get", "/events/export/", dict, "json"),
}


@pytest.fixture
def addresses() -> dict[str, Any]:
    later = BroadcastFactory(status=Broadcast.Status.SCHEDULED, send_at="2030-01-01T00:00:00Z")
    kind = EventType.objects.create(category="x", name="y")
    return {"user": ChatFactory().user_uuid, "broadcast": later.pk, "type": kind.pk}


@pytest.fixture(autouse=True)
def _nothing_remembered(settings, tmp_path, monkeypatch) -> None:
    settings.TEST_UPLOADS_DIR = str(tmp_path)
    monkeypatch.setattr(schema_child, "_passed", type(schema_child._passed)())


@pytest.mark.django_db
@pytest.mark.parametrize("case", REST)
@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "one"}])
def test_a_busy_request_is_503_and_can_be_repeated(case, headers, superuser, addresses, monkeypatch):
    method, path, body, kind = REST[case]
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(superuser)
    given = {} if method == "get" else {"format": kind}

    def send() -> Any:
        return getattr(api, method)(path.format(**addresses), body(), headers=headers, **given)

    with all_places_taken(monkeypatch):
        answer = send()

    assert answer.status_code == 503, answer.content
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "again in a moment" in answer.json()["detail"]
    assert send().status_code < 300


def test_every_route_with_files_or_schemas_is_tried():
    tried = {path.strip("/").partition("/")[0] for _, path, *_ in REST.values()}
    assert {"chats", "broadcasts", "event-types", "test-files", "events"} <= tried & {
        route.route.partition("/")[0] for route in ROUTES
    }


@pytest.mark.django_db
def test_the_uploads_of_the_admin_are_503_too(superuser, monkeypatch):
    client = Client()
    client.force_login(superuser)

    with all_places_taken(monkeypatch):
        answer = client.post("/admin/testrunner/testfile/upload/", {"file": upload()})

    assert answer.status_code == 503 and "again in a moment" in answer.json()["detail"]


@pytest.mark.django_db
def test_a_banner_is_not_skipped_because_other_pictures_are_being_decoded(superuser, banner_list, monkeypatch):  # noqa: F811
    banner_list.offers(1, png(size=LARGE))
    broadcast = services.send_next_banner(actor=superuser)

    with all_places_taken(monkeypatch):
        assert not prepare(broadcast)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.lease_until) == (Broadcast.Status.QUEUED, None)
    assert Banner.objects.get().skipped_at is None
    assert prepare(broadcast)


@pytest.mark.django_db
def test_that_it_was_busy_is_not_remembered_about_a_picture(banner_list, monkeypatch):  # noqa: F811
    [url] = banner_list.offers(1, png(size=LARGE))

    with all_places_taken(monkeypatch), pytest.raises(Busy):
        preview(url)

    assert preview(url)
