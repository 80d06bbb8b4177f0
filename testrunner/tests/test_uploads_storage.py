"""An upload to a storage that is full or not writable gets a clear 503 and leaves no trace."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from testrunner.models import TestFile

pytestmark = pytest.mark.django_db
CONTENT = b"def test_it():\n    assert True\n"
ADMIN = "/admin/testrunner/testfile/upload/"


@contextmanager
def full_storage(place: Path) -> Iterator[None]:
    """Limit files to 16 bytes, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def no_folder(place: Path) -> Iterator[None]:
    """Put a file in place of the uploads folder, which also stops root."""
    place.rmdir()
    place.write_bytes(b"")
    try:
        yield
    finally:
        place.unlink()
        place.mkdir()


@pytest.fixture
def place(tmp_path: Path, settings) -> Path:
    place = tmp_path / "uploads"
    place.mkdir()
    settings.TEST_UPLOADS_DIR = str(place)
    return place


def sent(**more: str) -> dict[str, object]:
    return {"file": SimpleUploadedFile("test_it.py", CONTENT), "directory": "", **more}


@pytest.mark.parametrize(("broken", "words"), [(full_storage, "full"), (no_folder, "does not work")])
def test_rest_answers_503_with_a_sentence_and_takes_it_when_there_is_room(place: Path, tester_api, broken, words: str):
    with broken(place):
        answer = tester_api.post("/test-files/", sent(), format="multipart")

    assert answer.status_code == 503, answer.content
    assert words in answer.data["detail"] and answer.headers["Retry-After"]
    assert not TestFile.objects.filter(path="test_it.py").exists() and list(place.iterdir()) == []

    assert tester_api.post("/test-files/", sent(), format="multipart").status_code == 201


@pytest.mark.parametrize(("broken", "words"), [(full_storage, "full"), (no_folder, "does not work")])
def test_the_admin_shows_the_sentence_beside_the_file(place: Path, as_tester, broken, words: str):
    with broken(place):
        answer = as_tester.post(ADMIN, sent())

    assert (answer.status_code, answer.json()["field"]) == (503, "file")
    assert words in answer.json()["detail"]
    assert as_tester.post(ADMIN, sent()).status_code == 201


def test_a_file_that_could_not_be_replaced_is_still_the_old_one(place: Path, tester_api):
    tester_api.post("/test-files/", sent(), format="multipart")
    longer = SimpleUploadedFile("test_it.py", CONTENT + b"\n# more\n")

    with full_storage(place):
        answer = tester_api.post("/test-files/", sent(overwrite="true") | {"file": longer}, format="multipart")

    assert answer.status_code == 503
    assert (place / "test_it.py").read_bytes() == CONTENT
    assert TestFile.objects.get(path="test_it.py").size == len(CONTENT)
