"""Uploads of test files, and of support files beside tests.

An upload is code that will run on the test runner's machine, so it requires a permission of its own and is recorded in
the admin log. It is not executed here: another process checks whether it compiles.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import subprocess
import sys
import threading
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db import transaction
from django.utils import timezone

from core.busy import Busy
from core.database.deadlocks import retried
from core.storage_failure import storing
from testrunner.files import discovery
from testrunner.models import Root, TestFile
from testrunner.models.file import MAX_PATH_LENGTH

PYTHON_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\.py", re.ASCII)
DATA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
MAY_BE_EMPTY = ("__init__.py", "conftest.py")
DIRECTORY = re.compile(r"(?!__)[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
MAX_NAME_LENGTH = 100  # characters of a file name or directory name
MAX_DEPTH = 5  # nested directories
COMPILE_SECONDS = 5  # of wall time, and about as many of CPU time
COMPILERS = 2  # concurrent in this process, with 1 GiB of memory each
COMPILER_WAIT_TIMEOUT = 3.0  # waiting time for a free compiler
EMPTY = "The file is empty, so it holds no test. Of Python files only __init__.py and conftest.py may be empty."
BUSY = "Several other files are being checked. Please try again in a moment."
# Compiles its standard input and prints an error as one line. It has limits, because a few bytes can keep a compiler
# busy.
COMPILE_PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
try:
    compile(sys.stdin.buffer.read(), "the file", "exec", dont_inherit=True)
except SyntaxError as error:
    print(f"{error.msg}, line {error.lineno}" if error.lineno else error.msg)
except (ValueError, OverflowError, RecursionError, MemoryError) as error:
    print(str(error) or type(error).__name__)
else:
    print("compiles")
"""
_compilers = threading.BoundedSemaphore(COMPILERS)


class UploadRefused(Exception):
    """An upload that is refused: `field` names the invalid field, the text is a sentence for users."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class NameTaken(UploadRefused):
    """A file with this name exists already, and the request does not allow replacing it."""


class TestFileChanged(UploadRefused):
    """The file has changed since the user saw it."""


@dataclass(frozen=True)
class CheckedUpload:
    """A validated file: its path below the uploads, and its bytes."""

    path: str
    content: bytes


def check(*, name: str, directory: str, content: bytes) -> CheckedUpload:
    """Validate a test, or a support file, for an existing or new directory.

    `directory` is relative to the root, with "/", and may be empty. Raises UploadRefused, and Busy if too many files
    are being checked. Call it outside a transaction, because a subprocess compiles the file.
    """
    path = _path(directory, name)
    _check_content(name, content)
    return CheckedUpload(path, content)


@retried
def store(file: CheckedUpload, *, user: Any, overwrite: bool = False) -> TestFile:
    """Store a file below the uploads; return its row.

    Raises UploadRefused; NameTaken if the file exists and `overwrite` is false; StorageFailure if it cannot be stored,
    and then no part of it remains.
    """
    root = discovery.directory_of(Root.UPLOADS)
    new = _write(root, file.path, file.content)
    try:
        return _commit_file(new, root / file.path, file.path, file.content, user, overwrite)
    finally:
        new.unlink(missing_ok=True)


def upload(*, name: str, directory: str, content: bytes, user: Any, overwrite: bool = False) -> TestFile:
    """Check a file and store it; see `check` and `store`."""
    return store(check(name=name, directory=directory, content=content), user=user, overwrite=overwrite)


@transaction.atomic
def _commit_file(new: Path, target: Path, path: str, content: bytes, user: Any, overwrite: bool) -> TestFile:
    """Write the row, rename the file to its final name, and commit, all under the lock that deletions also take.

    The file is renamed last, so that an error of the database leaves no file without a row.
    """
    discovery.lock()
    _check_count(path)
    if target.is_dir():
        raise UploadRefused("file", "There is a directory of this name.")
    replaces = os.path.lexists(target)
    is_uncommitted = replaces and _is_uncommitted_upload(path, content)
    if replaces and not overwrite and not is_uncommitted:
        raise NameTaken("file", f"{path} exists already. Overwrite it or choose another name.")
    row = _save_row(path, content, user, CHANGE if replaces and not is_uncommitted else ADDITION)
    _move_into_place(new, target, path, replaces=replaces)
    return row


def _is_uncommitted_upload(path: str, content: bytes) -> bool:
    """Whether an existing file is left from an upload that did not commit: same bytes, and no row of an
    uploaded file.
    """
    if TestFile.objects.existing().filter(root=Root.UPLOADS, path=path, uploaded_at__isnull=False).exists():
        return False
    with suppress(discovery.TestFileGone):
        return discovery.read(TestFile(root=Root.UPLOADS, path=path)) == content
    return False


def _move_into_place(new: Path, target: Path, path: str, *, replaces: bool) -> None:
    with storing():
        if replaces:
            os.replace(new, target)
            return
        try:
            os.link(new, target)  # fails if another program has created the file meanwhile
        except FileExistsError:
            raise NameTaken("file", f"There is {path} already.") from None


@retried
def remove(*, file: TestFile, user: Any) -> None:
    """Delete an uploaded file. Runs keep the bytes they ran.

    Raises UploadRefused for a file of another root, and TestFileChanged if it was replaced or deleted since `file` was
    read.
    """
    if file.root != Root.UPLOADS:
        raise UploadRefused("file", f"{file} was not uploaded: it belongs to Opsroom.")
    with transaction.atomic():
        discovery.lock()
        same = TestFile.objects.existing().filter(pk=file.pk, sha256=file.sha256, uploaded_at=file.uploaded_at)
        if not same.update(removed=True):
            raise TestFileChanged(
                "file", f"{file} was replaced or deleted meanwhile. Look at it again before you delete it."
            )
        _log_action(user, file, DELETION)
        # Before the commit, which releases the lock: after it, the name may belong to the next upload.
        with storing():
            (discovery.directory_of(Root.UPLOADS) / file.path).unlink(missing_ok=True)


def directories() -> list[str]:
    """Return the directories below the uploads, to choose from."""
    root = discovery.directory_of(Root.UPLOADS)
    found = (Path(place).relative_to(root).as_posix() for place, _, _ in os.walk(root))
    return sorted(path for path in found if path != "." and not path.startswith("."))[: discovery.MAX_FILES]


def _path(directory: str, name: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        raise UploadRefused("file", f"The file's name has {len(name)} characters; at most {MAX_NAME_LENGTH} fit.")
    _check_name(name)
    if directory.startswith("/"):
        raise UploadRefused("directory", "The directory is inside uploads/, so its name must not begin with /.")
    parts = directory.strip("/").split("/") if directory.strip("/") else []
    if len(parts) > MAX_DEPTH:
        raise UploadRefused("directory", f"Directories may be nested {MAX_DEPTH} levels deep at most.")
    for part in parts:
        if not DIRECTORY.fullmatch(part) or len(part) > MAX_NAME_LENGTH:
            raise UploadRefused(
                "directory",
                f"{part!r} is not a valid directory name. Use at most {MAX_NAME_LENGTH} letters, digits, _ and -, and "
                "do not begin with __.",
            )
    path = "/".join([*parts, name])
    if len(path) > MAX_PATH_LENGTH:
        raise UploadRefused(
            "directory", f"Directory and name have {len(path)} characters together; at most {MAX_PATH_LENGTH} fit."
        )
    return path


def _check_name(name: str) -> None:
    if not name.endswith(".py") and not discovery.is_data(name):
        taken = "Only Python files and data such as .json, .csv, .txt or .png are taken."
        raise UploadRefused("file", f"{taken} This one is called {name!r}.")
    if not (PYTHON_NAME if name.endswith(".py") else DATA_NAME).fullmatch(name):
        raise UploadRefused("file", f"The name may hold letters, digits, _ and -. This one is called {name!r}.")


def _check_count(path: str) -> None:
    """Refuse an upload beyond MAX_FILES: lists show only that many, so it would be stored and never seen."""
    others = TestFile.objects.existing().filter(root=Root.UPLOADS).exclude(path=path)
    if others.count() >= discovery.MAX_FILES:
        raise UploadRefused("file", f"There are {discovery.MAX_FILES:,} uploaded files already. Delete some first.")


def _check_content(name: str, content: bytes) -> None:
    if len(content) > discovery.MAX_FILE_BYTES:
        most = f"{discovery.MAX_FILE_BYTES // 2**20} MiB ({discovery.MAX_FILE_BYTES:,} bytes)"
        raise UploadRefused("file", f"The file is larger than {most}, the limit for one file.")
    if not name.endswith(".py"):
        return
    if not content.strip() and name not in MAY_BE_EMPTY:
        raise UploadRefused("file", EMPTY)
    if b"\0" in content:
        raise UploadRefused("file", "The file holds a NUL byte, which Python source cannot.")
    _check_encoding(content)
    if (fault := _compile(content)) is not None:
        raise UploadRefused("file", f"The file does not compile: {fault}.")


def _check_encoding(content: bytes) -> None:
    """Refuse a file that is not valid UTF-8 and declares no other encoding. The compiler checks other encodings."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except SyntaxError as error:
        if "encoding problem" in str(error) or "unknown encoding" in str(error):
            raise UploadRefused("file", f"The file does not compile: {error.msg}.") from error
        encoding = "utf-8"
    try:
        if encoding in ("utf-8", "utf-8-sig"):
            content.decode("utf-8")
    except UnicodeDecodeError as error:
        advice = "Save it as UTF-8, or name its encoding in its first line, for example # coding: latin-1"
        raise UploadRefused("file", f"The file is not UTF-8: see byte {error.start:,}. {advice}.") from error


def _compile(content: bytes) -> str | None:
    """Return the compiler's error message, or None. Raises Busy if too many files are being compiled."""
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", COMPILE_PROGRAM]
    if not _compilers.acquire(timeout=COMPILER_WAIT_TIMEOUT):
        raise Busy(BUSY)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program; the upload is its input
            command, input=content, capture_output=True, timeout=COMPILE_SECONDS, env={}, check=False
        )
    except subprocess.TimeoutExpired:
        return "the compiler did not come to an end"
    finally:
        _compilers.release()
    message = done.stdout.decode(errors="replace").strip()
    return None if message == "compiles" else message or "the compiler gave up on it"


def _write(root: Path, path: str, content: bytes) -> Path:
    """Write the bytes durably (fsync) to a hidden temporary file beside the target, and return its path."""
    target = root / path
    with storing():
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except (FileExistsError, NotADirectoryError) as error:
            raise UploadRefused("directory", "There is a file of this name.") from error
    if target.parent.resolve() != root.resolve() / Path(path).parent:
        raise UploadRefused("directory", "The directory is a link, so it cannot be used.")  # a link
    new = target.parent / f".new-{secrets.token_hex(8)}"
    with storing():
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    return new


def _save_row(path: str, content: bytes, user: Any, flag: int) -> TestFile:
    file, _ = TestFile.objects.update_or_create(
        root=Root.UPLOADS,
        path=path,
        defaults={
            "sha256": discovery.digest(content),
            "size": len(content),
            "uploaded_by": user,
            "uploaded_at": timezone.now(),
            "removed": False,
        },
    )
    _log_action(user, file, flag)
    return file


def _log_action(user: Any, file: TestFile, flag: int) -> None:
    word = {ADDITION: "Uploaded", CHANGE: "Replaced", DELETION: "Deleted"}[flag]
    LogEntry.objects.log_actions(
        user.pk, [file], flag, change_message=f"{word}: SHA-256 {file.sha256}, {file.size:,} bytes.", single_object=True
    )
