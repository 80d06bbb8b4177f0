"""Where vetted pictures are kept: under a name of our own, never overwritten."""

from uuid import uuid4

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from chats.images import Picture


def store(picture: Picture, *, folder: str) -> str:
    """Store the re-encoded bytes and return their name below the media root."""
    return default_storage.save(f"{folder}/{uuid4().hex}{picture.extension}", ContentFile(picture.content))
