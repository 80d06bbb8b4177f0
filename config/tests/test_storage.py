"""A full disk: a clear response with Retry-After in every app that writes, and no partial files."""

import os
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from config.monitoring.disk import in_words
from core.tests.full_disk import no_room
from testrunner.models import TestFile

pytestmark = pytest.mark.django_db
TEST = b"def test_it():\n    assert True\n"


@pytest.fixture
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    return tmp_path / "uploads"


def test_a_test_file_that_cannot_be_stored_is_a_503_and_leaves_nothing(tester_api, uploads):
    body = {"file": SimpleUploadedFile("test_it.py", TEST), "directory": ""}

    with no_room():
        answer = tester_api.post("/test-files/", body, format="multipart")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert answer.json()["detail"] == "The storage is full."
    assert not TestFile.objects.exists()
    assert [name for *_, names in os.walk(uploads) for name in names] == []


def test_a_page_says_that_the_storage_is_full(tester, uploads):
    client = Client(raise_request_exception=False)
    client.force_login(tester)

    with no_room():
        answer = client.post(
            "/admin/testrunner/testfile/upload/",
            {"file": SimpleUploadedFile("test_it.py", TEST), "directory": ""},
        )

    assert answer.status_code == 503
    assert "The storage is full." in answer.content.decode()


@pytest.mark.parametrize(("mib", "words"), [(256, "256 MiB"), (79_492, "77.6 GiB"), (2_000_000, "1,953.1 GiB")])
def test_free_space_is_shown_in_units_that_people_read(mib, words):
    assert in_words(mib) == words
