"""Errors of a full or read-only file storage as one sentence for people, for every app."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_FULL, _CLOSED = "The storage is full.", "The storage is not writable."
_WORDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,  # a limit on the size of files
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
}
_OTHER = "The storage does not work."


class StorageFailure(Exception):
    """A file could not be stored. The text is a sentence for people."""


@contextmanager
def storing() -> Iterator[None]:
    """Turn every OSError of the file system into StorageFailure."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(_WORDS.get(error.errno or 0, _OTHER)) from error


def storage_failure(error: BaseException | None) -> str | None:
    """Return the message for an error that the storage caused, else None.

    Also handles a bare OSError, such as that of an upload without disk space for its temporary file.
    """
    if isinstance(error, StorageFailure):
        return str(error)
    return _WORDS.get(error.errno or 0) if isinstance(error, OSError) else None
