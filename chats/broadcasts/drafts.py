"""Drafts: uploads that were not sent yet. They are kept for a day, so that nothing is lost if a form has errors.

A form contains a signed reference that is valid for its own user only. It never contains a file name it could choose.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from django.core import signing
from django.core.files.storage import default_storage

from chats.stored_images import store, store_content
from core.images.conversion import Picture

FOLDER = "drafts"
KEPT = timedelta(days=1)  # chats/files.py deletes older drafts
PICTURE_GONE = "The picture is not kept any more. Please choose it again."


class DraftGone(Exception):
    """The draft's file was deleted."""


@dataclass(frozen=True)
class Draft:
    """A stored draft: its name in the storage, its owner's name for it, and the signed reference for a form."""

    name: str
    title: str
    reference: str

    @property
    def url(self) -> str:
        return default_storage.url(self.name)

    def read(self) -> bytes:
        """Return the content. Raises DraftGone if it was deleted."""
        try:
            with default_storage.open(self.name) as file:
                return file.read()
        except FileNotFoundError as error:
            raise DraftGone from error


def store_permanently(draft: Draft, *, own: str = "") -> str:
    """Store a kept picture permanently and return its name.

    A picture that is the broadcast's `own` already is kept as it is.

    Any other picture is copied, because no two rows share a file. Raises DraftGone or StorageFailure.
    """
    if own and draft.name == own:
        return own
    return store_content(draft.read(), folder="messages", suffix=PurePosixPath(draft.name).suffix)


def keep_picture(picture: Picture, *, owner: Any) -> Draft:
    """Store a re-encoded picture as a draft. Raises StorageFailure."""
    return _draft(store(picture, folder=FOLDER, prefix=prefix(owner)), "", owner)


def keep_list(text: str, *, title: str, owner: Any) -> Draft:
    """Store a list of users as a draft. Raises StorageFailure.

    `title` is the name of the uploaded file, or "" for a pasted list.
    """
    name = store_content(text.encode(), folder=FOLDER, prefix=prefix(owner), suffix=".txt")
    return _draft(name, title[:100], owner)


def keep_form(fields: dict[str, str], *, owner: Any) -> Draft:
    """Store the values of a form as a JSON draft. Raises StorageFailure."""
    name = store_content(json.dumps(fields).encode(), folder=FOLDER, prefix=prefix(owner), suffix=".json")
    return _draft(name, "", owner)


def find(reference: str, *, owner: Any, suffix: str) -> Draft | None:
    """Return the draft of a reference. None if it is forged, expired, deleted, another user's or of another kind."""
    try:
        name, title = signing.loads(reference, salt=_salt(owner), max_age=KEPT)
    except signing.BadSignature:
        return None
    if PurePosixPath(name).suffix != suffix or not default_storage.exists(name):
        return None
    return Draft(name, title, reference)


def refer_to(name: str, *, owner: Any) -> Draft:
    """Return a reference to a picture that is already stored, such as that of a broadcast being edited."""
    return _draft(name, "", owner)


def prefix(owner: Any) -> str:
    """Return the prefix of the names of a user's drafts. Only that user may see files with this prefix."""
    return f"{owner.pk}-"


def _draft(name: str, title: str, owner: Any) -> Draft:
    return Draft(name, title, signing.dumps([name, title], salt=_salt(owner)))


def _salt(owner: Any) -> str:
    return f"chats.broadcasts.drafts.{owner.pk}"
