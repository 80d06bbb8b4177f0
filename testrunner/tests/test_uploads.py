"""Uploads that are accepted, and uploads that are refused with a message."""

import os
import threading
from pathlib import Path

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db import DataError, connection

from core.busy import Busy
from testrunner.files import discovery, uploads
from testrunner.models import Root, TestFile

GOOD = b"def test_it():\n    assert True\n"


@pytest.fixture
def place(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    return tmp_path / "uploads"


@pytest.fixture
def send(place: Path, superuser):
    def send(name: str = "test_it.py", directory: str = "", content: bytes = GOOD, **more) -> TestFile:
        return uploads.upload(name=name, directory=directory, content=content, user=superuser, **more)

    return send


def test_an_upload_into_a_new_directory_is_a_choice_at_once(send, place: Path):
    file = send("test_public_api.py", "smoke/api")

    assert (place / "smoke" / "api" / "test_public_api.py").read_bytes() == GOOD
    assert (file.root, file.path, file.size) == (Root.UPLOADS, "smoke/api/test_public_api.py", len(GOOD))
    assert file.sha256 == discovery.digest(GOOD)
    assert uploads.directories() == ["smoke", "smoke/api"]


def test_it_is_written_down_who_uploaded_what(send, superuser):
    file = send()

    entry = LogEntry.objects.get(object_id=file.pk)
    assert (entry.user, entry.action_flag) == (superuser, ADDITION)
    assert file.sha256 in entry.change_message


def test_nothing_is_replaced_unless_somebody_says_so(send, place: Path):
    send()

    with pytest.raises(uploads.NameTaken, match=r"test_it\.py exists already"):
        send(content=b"x = 1\n")

    assert (place / "test_it.py").read_bytes() == GOOD


def test_who_says_so_replaces_it_and_it_is_written_down(send, place: Path):
    first = send()

    second = send(content=b"x = 1\n", overwrite=True)

    assert second.pk == first.pk
    assert (place / "test_it.py").read_bytes() == b"x = 1\n"
    assert LogEntry.objects.filter(object_id=first.pk, action_flag=CHANGE).count() == 1


@pytest.mark.parametrize(
    "name",
    [
        "../test_it.py",
        "/etc/test_it.py",
        "a/b.py",
        "test it.py",
        "tëst.py",
        "test\0it.py",
        ".py",
        ".hidden.py",
        "-.py",
        "",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(send, place: Path, name: str):
    with pytest.raises(uploads.UploadRefused) as refused:
        send(name)

    assert refused.value.field == "file"
    assert not place.exists() or not any(place.iterdir())


def test_only_python_and_data_is_taken(send):
    for name in ("test_it.sh", "pytest.ini", "test_it.pyc", "json", "test_it.py.exe"):
        with pytest.raises(uploads.UploadRefused, match="Only Python files and data such as"):
            send(name)


@pytest.mark.parametrize("name", ["data.json", "two.parts.csv", "LOGO.PNG", "empty.txt"])
def test_data_beside_tests_is_taken_as_it_is(send, place: Path, name: str):
    row = send(name, directory="smoke", content=b"" if name == "empty.txt" else b"\0\xff")

    assert not row.is_python
    assert (place / "smoke" / name).stat().st_size == row.size


@pytest.mark.parametrize("name", ["__init__.py", "conftest.py"])
def test_an_empty_module_that_makes_a_package_is_taken(send, place: Path, name: str):
    assert send(name, directory="smoke", content=b"").size == 0
    assert (place / "smoke" / name).read_bytes() == b""


@pytest.mark.parametrize(
    "content",
    [
        "# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"),
        "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nx = '€'\n".encode("cp1252"),
        b"\xef\xbb\xbfx = 1\n",
        b"x = 1\r\n",
    ],
)
def test_every_encoding_that_python_reads_is_taken(send, place: Path, content: bytes):
    send(content=content)

    assert (place / "test_it.py").read_bytes() == content


@pytest.mark.parametrize("directory", ["/etc", "/", "//smoke", "/smoke/"])
def test_an_absolute_directory_is_refused(send, place: Path, directory: str):
    with pytest.raises(uploads.UploadRefused, match="must not begin with /") as refused:
        send(directory=directory)

    assert refused.value.field == "directory"
    assert not place.exists()


def test_a_name_of_300_characters_is_refused_in_words(send):
    with pytest.raises(uploads.UploadRefused, match="303 characters; at most 100 fit"):
        send("t" * 300 + ".py")


@pytest.mark.parametrize(
    "directory", ["../up", "a/../b", ".git", "a//b", "a b", "é", "x" * 101, "a/b/c/d/e/f", "a\\b", "__smoke"]
)
def test_a_directory_that_leads_elsewhere_is_refused(send, place: Path, directory: str):
    with pytest.raises(uploads.UploadRefused) as refused:
        send(directory=directory)

    assert refused.value.field == "directory"


def test_a_path_that_no_row_holds_is_refused_in_words(send, place: Path):
    with pytest.raises(uploads.UploadRefused, match="510 characters together; at most 400 fit") as refused:
        send(directory="/".join(["d" * 99] * 5))

    assert refused.value.field == "directory"
    assert not place.exists()


def test_a_file_that_could_not_be_written_down_is_not_left_behind(send, place: Path, monkeypatch):
    def broken(*_, **__):
        raise DataError("value too long")

    monkeypatch.setattr(TestFile.objects, "update_or_create", broken)

    with pytest.raises(DataError):
        send(directory="smoke")

    assert os.listdir(place / "smoke") == []


def test_one_more_file_than_is_ever_shown_is_refused_in_words(send, monkeypatch):
    monkeypatch.setattr(discovery, "MAX_FILES", 2)
    send("test_a.py")
    send("test_b.py")

    with pytest.raises(uploads.UploadRefused, match="2 uploaded files already"):
        send("test_c.py")

    send("test_b.py", content=b"x = 1\n", overwrite=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"def test(:\n", "line 1"),
        (b"x = '\xff'\n", "not UTF-8: see byte 5"),
        (b"x = 1\0\n", "NUL byte"),
        (b"# coding: no-such-thing\nx = 1\n", "unknown encoding: no-such-thing"),
        (b"# coding: ascii\nx = '\xff'\n", "does not compile"),
        (b"# coding: rot13\nk = 1\n", "does not compile"),
        (b"#" * (discovery.MAX_FILE_BYTES + 1), r"larger than 1 MiB \(1,048,576 bytes\), the limit for one file"),
        (b"(" * 100_000, "does not compile"),
        (b"-" * 500_000 + b"1", "does not compile"),
        (b"x" + b"+x" * 200_000, "does not compile"),
    ],
)
def test_what_cannot_be_a_test_is_refused_in_words(send, content: bytes, words: str):
    with pytest.raises(uploads.UploadRefused, match=words) as refused:
        send(content=content)

    assert refused.value.field == "file"
    assert not TestFile.objects.filter(root=Root.UPLOADS).exists()


def test_nothing_of_an_upload_is_run(send, tmp_path: Path):
    trace = tmp_path / "trace"

    send(content=f"open({str(trace)!r}, 'w')\n".encode())

    assert not trace.exists()


def test_a_link_in_the_way_is_not_followed(send, place: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    place.mkdir()
    (place / "smoke").symlink_to(outside)
    (place / "test_it.py").symlink_to(outside / "new.py")

    with pytest.raises(uploads.UploadRefused, match="is a link"):
        send(directory="smoke")
    with pytest.raises(uploads.NameTaken):
        send()
    send(overwrite=True)

    assert os.listdir(outside) == []
    assert not (place / "test_it.py").is_symlink()


def test_a_file_where_a_directory_should_be_is_named(send):
    send("smoke.py")

    with pytest.raises(uploads.UploadRefused, match="letters, digits, _ and -"):
        send(directory="smoke.py")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_upload_the_same_name_at_once_one_is_told(send, place: Path):
    together, outcomes = threading.Barrier(2), []

    def press(content: bytes) -> None:
        together.wait()
        try:
            outcomes.append(send(content=content).sha256)
        except uploads.NameTaken as taken:
            outcomes.append(taken)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(content,)) for content in (b"x = 1\n", b"x = 2\n")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    [stored] = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(outcomes) == 2
    assert discovery.digest((place / "test_it.py").read_bytes()) == stored


def test_a_removed_upload_is_gone_and_written_down(send, place: Path, superuser):
    file = send(directory="smoke")

    uploads.remove(file=file, user=superuser)

    assert not (place / "smoke" / "test_it.py").exists()
    assert not TestFile.objects.existing().filter(pk=file.pk).exists()
    assert LogEntry.objects.filter(object_id=file.pk, action_flag=DELETION).count() == 1


def test_what_ships_with_opsroom_is_not_removed(db, superuser):
    shipped = TestFile.objects.create(root=Root.SAMPLES, path="test_success.py", sha256="0" * 64, size=1)

    with pytest.raises(uploads.UploadRefused, match="belongs to Opsroom"):
        uploads.remove(file=shipped, user=superuser)


@pytest.mark.django_db(transaction=True)
def test_an_acknowledged_upload_is_not_taken_by_an_earlier_deletion(send, place: Path, superuser):
    for number in range(20):
        seen, outcomes, start = send(content=b"x = 0\n", overwrite=True), [], threading.Barrier(2)

        def act(verb, outcomes=outcomes, start=start) -> None:
            start.wait()
            try:
                verb()
                outcomes.append(verb.__name__)
            except uploads.TestFileChanged:
                outcomes.append("changed")
            finally:
                connection.close()

        def delete(seen=seen) -> None:
            uploads.remove(file=seen, user=superuser)

        def replace(number=number) -> None:
            send(content=f"x = {number + 1}\n".encode(), overwrite=True)

        threads = [threading.Thread(target=act, args=(verb,)) for verb in (delete, replace)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert "replace" in outcomes
        assert (place / "test_it.py").read_bytes() == f"x = {number + 1}\n".encode()
        discovery.refresh()
        assert TestFile.objects.existing().get(path="test_it.py").uploaded_at > seen.uploaded_at


def test_a_file_that_was_replaced_since_it_was_seen_is_not_deleted(send, place: Path, superuser):
    seen = send()
    send(content=b"x = 1\n", overwrite=True)

    with pytest.raises(uploads.TestFileChanged, match="was replaced or deleted meanwhile"):
        uploads.remove(file=seen, user=superuser)

    assert (place / "test_it.py").read_bytes() == b"x = 1\n"
    uploads.remove(file=TestFile.objects.get(pk=seen.pk), user=superuser)
    assert not (place / "test_it.py").exists()


def test_few_files_are_compiled_at_a_time(send, monkeypatch):
    monkeypatch.setattr(uploads, "COMPILER_WAIT_TIMEOUT", 0.1)
    with uploads._compilers, uploads._compilers, pytest.raises(Busy, match="Please try again in a moment"):
        send()

    assert send().path == "test_it.py"


def test_a_file_that_does_not_compile_in_time_makes_room_for_others(send, monkeypatch):
    endless = b"# coding: punycode\n" + b"a" * 500_000 + b"-" + b"9" * 400_000
    monkeypatch.setattr(uploads, "COMPILE_SECONDS", 1)

    for _ in range(uploads.COMPILERS + 1):
        with pytest.raises(uploads.UploadRefused, match="the compiler did not come to an end"):
            send(content=endless)

    assert send().path == "test_it.py"
