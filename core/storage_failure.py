"""A file storage that is full or not writable: one sentence for people, whichever app meets it."""

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
    """A file could not be stored. The text is a sentence for a person."""


@contextmanager
def storing() -> Iterator[None]:
    """Raise StorageFailure for every error of the file system."""
    try:
        yield
    except OSError as error:
        raise StorageFailure(_WORDS.get(error.errno or 0, _OTHER)) from error


def storage_failure(error: BaseException | None) -> str | None:
    """Return the sentence for an error that is the storage's fault, else None.

    Also for a bare OSError, such as that of an upload whose temporary file had no room.
    """
    if isinstance(error, StorageFailure):
        return str(error)
    return _WORDS.get(error.errno or 0) if isinstance(error, OSError) else None
