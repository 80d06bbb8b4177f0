"""What somebody has uploaded and not sent yet: kept for a day, so that nothing is lost when a form is refused.

A form gets a signed reference, good for its own user only, and never a name that it could choose itself.
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
KEPT = timedelta(days=1)  # chats/files.py deletes older ones
GONE = "The picture is not kept any more. Please choose it again."


class Forgotten(Exception):
    """The draft's file is not kept any more."""


@dataclass(frozen=True)
class Draft:
    """A kept file: its name in the storage, what its owner called it, and the reference for a form."""

    name: str
    title: str
    reference: str

    @property
    def url(self) -> str:
        return default_storage.url(self.name)

    def read(self) -> bytes:
        """Return the content. Raises Forgotten where it has been deleted meanwhile."""
        try:
            with default_storage.open(self.name) as file:
                return file.read()
        except FileNotFoundError as error:
            raise Forgotten from error


def settle(draft: Draft, *, own: str = "") -> str:
    """Store a kept picture for good and return its name; the one that the broadcast has `own` already stays.

    Always a copy otherwise: no two rows share a file. Raises Forgotten, or StorageFailure.
    """
    if own and draft.name == own:
        return own
    return store_content(draft.read(), folder="messages", suffix=PurePosixPath(draft.name).suffix)


def keep_picture(picture: Picture, *, owner: Any) -> Draft:
    """Keep a vetted picture. Raises StorageFailure."""
    return _draft(store(picture, folder=FOLDER, prefix=prefix(owner)), "", owner)


def keep_list(text: str, *, title: str, owner: Any) -> Draft:
    """Keep a list of users; `title` is the name of the uploaded file, "" for a pasted one. Raises StorageFailure."""
    name = store_content(text.encode(), folder=FOLDER, prefix=prefix(owner), suffix=".txt")
    return _draft(name, title[:100], owner)


def keep_form(fields: dict[str, str], *, owner: Any) -> Draft:
    """Keep what was typed into a form, as JSON. Raises StorageFailure."""
    name = store_content(json.dumps(fields).encode(), folder=FOLDER, prefix=prefix(owner), suffix=".json")
    return _draft(name, "", owner)


def find(reference: str, *, owner: Any, suffix: str) -> Draft | None:
    """Return the draft of a reference, or None where it is forged, somebody else's, of another kind or forgotten."""
    try:
        name, title = signing.loads(reference, salt=_salt(owner), max_age=KEPT)
    except signing.BadSignature:
        return None
    if PurePosixPath(name).suffix != suffix or not default_storage.exists(name):
        return None
    return Draft(name, title, reference)


def refer_to(name: str, *, owner: Any) -> Draft:
    """Return a reference to a picture that is stored already, such as that of a broadcast to be changed."""
    return _draft(name, "", owner)


def prefix(owner: Any) -> str:
    """What the names of a user's drafts begin with: only they may see them."""
    return f"{owner.pk}-"


def _draft(name: str, title: str, owner: Any) -> Draft:
    return Draft(name, title, signing.dumps([name, title], salt=_salt(owner)))


def _salt(owner: Any) -> str:
    return f"chats.broadcasts.drafts.{owner.pk}"
