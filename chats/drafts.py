"""What somebody has uploaded and not sent yet: kept for a day, so that nothing is lost when a form is refused.

A form gets a signed reference, good for its own user only, and never a name that it could choose itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from django.core import signing
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from chats.images import Picture
from chats.pictures import store

FOLDER = "drafts"
KEPT = timedelta(days=1)


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
        """Return the content. Raises OSError where it has been forgotten meanwhile."""
        with default_storage.open(self.name) as file:
            return file.read()


def settle(draft: Draft) -> str:
    """Store a kept picture for good and return its name. One that is stored for good already stays where it is."""
    if not draft.name.startswith(f"{FOLDER}/"):
        return draft.name
    suffix = PurePosixPath(draft.name).suffix
    return default_storage.save(f"messages/{uuid4().hex}{suffix}", ContentFile(draft.read()))


def keep_picture(picture: Picture, *, owner: Any) -> Draft:
    """Keep a vetted picture."""
    forget_old()
    return _draft(store(picture, folder=FOLDER), "", owner)


def keep_list(text: str, *, title: str, owner: Any) -> Draft:
    """Keep a list of users; `title` is the name of the uploaded file, "" for a pasted one."""
    forget_old()
    name = default_storage.save(f"{FOLDER}/{uuid4().hex}.txt", ContentFile(text.encode()))
    return _draft(name, title[:100], owner)


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


def forget_old() -> None:
    """Delete what has been kept for longer than any reference to it is good."""
    try:
        names = default_storage.listdir(FOLDER)[1]
    except FileNotFoundError:
        return
    for name in (f"{FOLDER}/{each}" for each in names):
        if default_storage.get_modified_time(name) < timezone.now() - 2 * KEPT:
            default_storage.delete(name)


def _draft(name: str, title: str, owner: Any) -> Draft:
    return Draft(name, title, signing.dumps([name, title], salt=_salt(owner)))


def _salt(owner: Any) -> str:
    return f"chats.drafts.{owner.pk}"
