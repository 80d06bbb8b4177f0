"""Uploads: take a test, or a file that lies beside tests, and put it where it can be chosen or comes along.

An upload is code that will run on the test runner's machine, so it takes a permission of its own and is written down.
Nothing of it is run here: whether it compiles is found out in another process.
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
MAX_NAME_LENGTH = 100  # characters, of a file or a directory
MAX_DEPTH = 5  # directories within each other
COMPILE_SECONDS = 5  # of wall time, and about as many of CPU time
COMPILERS = 2  # at a time in this process, which have 1 GiB each
WAIT_SECONDS = 3.0  # for one of them to end
EMPTY = "The file is empty, so it holds no test. Of Python files only __init__.py and conftest.py may be empty."
BUSY = "Several other files are being checked. Please try again in a moment."
# Compiles what comes on stdin; a fault is one line on stdout. Limits, because a few bytes can make a compiler busy.
COMPILE = """
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
    """An upload that is not taken: `field` is what to mend, the text a sentence for a person."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Taken(UploadRefused):
    """There is a file of this name already, and nobody said that it be replaced."""


class TestFileChanged(UploadRefused):
    """A file that is not the one any more that the user has seen."""


@dataclass(frozen=True)
class Checked:
    """A file that may be stored: its path below the uploads, and its bytes."""

    path: str
    content: bytes


def check(*, name: str, directory: str, content: bytes) -> Checked:
    """Check a test, or a file beside tests, that is to lie in an existing directory or a new one.

    `directory` is below the root, with "/", and may be empty. Raises UploadRefused, and Busy where too many files are
    being checked. To be called outside of a transaction: a process compiles the file.
    """
    path = _path(directory, name)
    _vet(name, content)
    return Checked(path, content)


@retried
def store(file: Checked, *, user: Any, overwrite: bool = False) -> TestFile:
    """Store a file below the uploads; return its row.

    Raises UploadRefused; Taken if the file is there and `overwrite` does not say to replace it; StorageFailure where it
    cannot be stored, and then nothing of it is there.
    """
    root = discovery.folder(Root.UPLOADS)
    new = _write(root, file.path, file.content)
    try:
        return _put_and_record(new, root / file.path, file.path, file.content, user, overwrite)
    finally:
        new.unlink(missing_ok=True)


def upload(*, name: str, directory: str, content: bytes, user: Any, overwrite: bool = False) -> TestFile:
    """Check a file and store it; see `check` and `store`."""
    return store(check(name=name, directory=directory, content=content), user=user, overwrite=overwrite)


@transaction.atomic
def _put_and_record(new: Path, target: Path, path: str, content: bytes, user: Any, overwrite: bool) -> TestFile:
    """Write the row, then give the file its name, and commit: all under the lock that a deletion takes, too.

    The name is given last, so that no error of the database leaves a file without its row.
    """
    discovery.lock()
    _find_room(path)
    if target.is_dir():
        raise UploadRefused("file", "There is a directory of this name.")
    replaces = os.path.lexists(target)
    is_left_over = replaces and _is_left_over(path, content)
    if replaces and not overwrite and not is_left_over:
        raise Taken("file", f"There is {path} already. Say that it is to be replaced, or choose another name.")
    row = _record(path, content, user, CHANGE if replaces and not is_left_over else ADDITION)
    _give_name(new, target, path, replaces=replaces)
    return row


def _is_left_over(path: str, content: bytes) -> bool:
    """Whether a file is that of an upload that did not commit: it has these bytes, and no row calls it uploaded."""
    if TestFile.objects.there().filter(root=Root.UPLOADS, path=path, uploaded_at__isnull=False).exists():
        return False
    with suppress(discovery.TestFileGone):
        return discovery.read(TestFile(root=Root.UPLOADS, path=path)) == content
    return False


def _give_name(new: Path, target: Path, path: str, *, replaces: bool) -> None:
    with storing():
        if replaces:
            os.replace(new, target)
            return
        try:
            os.link(new, target)  # fails if a file was put there by other means than this
        except FileExistsError:
            raise Taken("file", f"There is {path} already.") from None


@retried
def remove(*, file: TestFile, user: Any) -> None:
    """Delete an uploaded file. Runs keep the bytes they ran.

    Raises UploadRefused for a file of another root, TestFileChanged where it was replaced or deleted since `file` was
    read.
    """
    if file.root != Root.UPLOADS:
        raise UploadRefused("file", f"{file} was not uploaded: it belongs to Opsroom.")
    with transaction.atomic():
        discovery.lock()
        same = TestFile.objects.there().filter(pk=file.pk, sha256=file.sha256, uploaded_at=file.uploaded_at)
        if not same.update(removed=True):
            raise TestFileChanged(
                "file", f"{file} was replaced or deleted meanwhile. Look at it again before you delete it."
            )
        _write_down(user, file, DELETION)
        # Before the commit, which ends the lock: after it, the name may belong to the next upload.
        with storing():
            (discovery.folder(Root.UPLOADS) / file.path).unlink(missing_ok=True)


def directories() -> list[str]:
    """The directories below the uploads, for whoever chooses one."""
    root = discovery.folder(Root.UPLOADS)
    found = (Path(place).relative_to(root).as_posix() for place, _, _ in os.walk(root))
    return sorted(path for path in found if path != "." and not path.startswith("."))[: discovery.MAX_FILES]


def _path(directory: str, name: str) -> str:
    if len(name) > MAX_NAME_LENGTH:
        raise UploadRefused("file", f"The file's name has {len(name)} characters; {MAX_NAME_LENGTH} are the most.")
    _vet_name(name)
    if directory.startswith("/"):
        raise UploadRefused("directory", "The directory is one below uploads/: it cannot begin with /.")
    parts = directory.strip("/").split("/") if directory.strip("/") else []
    if len(parts) > MAX_DEPTH:
        raise UploadRefused("directory", f"{MAX_DEPTH} directories within each other are the most.")
    for part in parts:
        if not DIRECTORY.fullmatch(part) or len(part) > MAX_NAME_LENGTH:
            allowed = f"hold letters, digits, _ and -, {MAX_NAME_LENGTH} of them at most, and not begin with __"
            raise UploadRefused("directory", f"A directory's name may {allowed}; {part!r} is none.")
    path = "/".join([*parts, name])
    if len(path) > MAX_PATH_LENGTH:
        raise UploadRefused(
            "directory", f"Directory and name have {len(path)} characters together; {MAX_PATH_LENGTH} fit."
        )
    return path


def _vet_name(name: str) -> None:
    if not name.endswith(".py") and not discovery.is_data(name):
        taken = "Only Python files and data such as .json, .csv, .txt or .png are taken."
        raise UploadRefused("file", f"{taken} This one is called {name!r}.")
    if not (PYTHON_NAME if name.endswith(".py") else DATA_NAME).fullmatch(name):
        raise UploadRefused("file", f"The name may hold letters, digits, _ and -. This one is called {name!r}.")


def _find_room(path: str) -> None:
    """Nobody is shown more files than so many: one more would be taken and never seen."""
    others = TestFile.objects.there().filter(root=Root.UPLOADS).exclude(path=path)
    if others.count() >= discovery.MAX_FILES:
        raise UploadRefused("file", f"There are {discovery.MAX_FILES:,} uploaded files already. Delete some first.")


def _vet(name: str, content: bytes) -> None:
    if len(content) > discovery.MAX_FILE_BYTES:
        most = f"{discovery.MAX_FILE_BYTES // 2**20} MiB ({discovery.MAX_FILE_BYTES:,} bytes)"
        raise UploadRefused("file", f"The file is larger than {most}, the limit for one file.")
    if not name.endswith(".py"):
        return
    if not content.strip() and name not in MAY_BE_EMPTY:
        raise UploadRefused("file", EMPTY)
    if b"\0" in content:
        raise UploadRefused("file", "The file holds a NUL byte, which Python source cannot.")
    _vet_encoding(content)
    if (fault := _compile(content)) is not None:
        raise UploadRefused("file", f"The file does not compile: {fault}.")


def _vet_encoding(content: bytes) -> None:
    """Refuse a file that is neither UTF-8 nor names another encoding. Whether it keeps to that, the compiler finds."""
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
    """What the compiler has against it, or None. Raises Busy where too many files are being compiled."""
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", COMPILE]
    if not _compilers.acquire(timeout=WAIT_SECONDS):
        raise Busy(BUSY)
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and program; the upload is its input
            command, input=content, capture_output=True, timeout=COMPILE_SECONDS, env={}, check=False
        )
    except subprocess.TimeoutExpired:
        return "the compiler did not come to an end"
    finally:
        _compilers.release()
    said = done.stdout.decode(errors="replace").strip()
    return None if said == "compiles" else said or "the compiler gave up on it"


def _write(root: Path, path: str, content: bytes) -> Path:
    """Write the bytes, safe against a power cut, beside their place under a name that is not a choice; return it."""
    target = root / path
    with storing():
        root.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except (FileExistsError, NotADirectoryError) as error:
            raise UploadRefused("directory", "There is a file of this name.") from error
    if target.parent.resolve() != root.resolve() / Path(path).parent:
        raise UploadRefused("directory", "The directory leads elsewhere.")  # a link
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


def _record(path: str, content: bytes, user: Any, flag: int) -> TestFile:
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
    _write_down(user, file, flag)
    return file


def _write_down(user: Any, file: TestFile, flag: int) -> None:
    word = {ADDITION: "Uploaded", CHANGE: "Replaced", DELETION: "Deleted"}[flag]
    LogEntry.objects.log_actions(
        user.pk, [file], flag, change_message=f"{word}: SHA-256 {file.sha256}, {file.size:,} bytes.", single_object=True
    )
