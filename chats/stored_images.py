"""Storage of re-encoded pictures: under generated names, never overwritten, and deleted with their rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import InterfaceError, OperationalError, transaction

from core.images.conversion import Picture
from core.storage_failure import storing

log = structlog.get_logger(__name__)
MAX_IMAGE_BYTES = 5 * 1024 * 1024  # of an uploaded or downloaded picture


def store(picture: Picture, *, folder: str, prefix: str = "") -> str:
    """Store the re-encoded bytes and return their name relative to the media root. Raises StorageFailure."""
    return store_content(picture.content, folder=folder, prefix=prefix, suffix=picture.extension)


def store_content(content: bytes, *, folder: str, suffix: str, prefix: str = "") -> str:
    """Store bytes under a new name and return it. Raises StorageFailure and then leaves no partial file."""
    name = f"{folder}/{prefix}{uuid4().hex}{suffix}"
    with storing():
        try:
            return default_storage.save(name, ContentFile(content))
        except OSError:
            discard(name)
            raise


@contextmanager
def stored(image: Picture | str | None, *, folder: str) -> Iterator[str]:
    """Store a picture for the rows that the block writes, and delete it if the block raises.

    Yields its name, "" for none.

    Enter it before the transaction, so that no lock is held during disk access. `image` may be the name of a file that
    was already stored for these rows. Raises StorageFailure.
    """
    name = store(image, folder=folder) if isinstance(image, Picture) else image or ""
    try:
        yield name
    except (OperationalError, InterfaceError):
        raise  # the commit may have succeeded, so keep the file; otherwise the sweeper deletes it (chats/files.py)
    except BaseException:
        discard(name)
        raise


def discard(name: str) -> None:
    """Delete a file that no row refers to any more. Never raises: the sweeper deletes what remains."""
    if not name:
        return
    try:
        default_storage.delete(name)
    except OSError as error:
        log.warning("file_not_deleted", name=name, error=str(error))


def discard_on_commit(*names: str) -> None:
    """Delete files when the current transaction commits, because it deletes or changes their rows."""
    for name in filter(None, names):
        transaction.on_commit(partial(discard, name), robust=True)
