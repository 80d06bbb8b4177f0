"""The stored files of chats: access checks, and deletion of files that no row refers to.

A file belongs to a personal message, a broadcast, a banner or, as a draft, to the user who uploaded it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from heapq import nsmallest
from typing import Any

import structlog
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.utils import timezone

from chats.broadcasts import drafts
from chats.models import Banner, Broadcast, Message
from chats.stored_images import discard

log = structlog.get_logger(__name__)

FOLDERS = ("messages", "banners")
AGE = timedelta(days=1)  # a file is written before its row commits; no request or task takes that long
MAX_FILES_PER_SWEEP = 500  # files per folder


def may_see(name: str, user: Any) -> bool | None:
    """Return whether this user may see the file. None if nothing visible uses it.

    The picture of a deleted message is deleted with it. The picture of a retracted broadcast is hidden from all users
    until the broadcast is restored.
    """
    folder, _, rest = name.partition("/")
    if folder == drafts.FOLDER:
        return True if rest.startswith(drafts.prefix(user)) else None
    if folder not in FOLDERS or not name.isprintable():
        return None
    rights = list(_rights(name))
    return any(user.has_perms(needed) for needed in rights) if rights else None


def _rights(name: str) -> Iterator[list[str]]:
    """Yield the permissions of each object that shows the file. Any one of these lists is sufficient."""
    if Message.objects.filter(own_image=name).exclude(own_image="").exists():
        yield ["chats.view_message"]
    broadcasts = list(Broadcast.objects.filter(image=name).exclude(image="").values_list("retracted_at", "delivered"))
    if any(retracted_at for retracted_at, _ in broadcasts):
        return
    if broadcasts:
        yield ["chats.view_broadcast"]
    if any(delivered for _, delivered in broadcasts):  # it is shown in chats
        yield ["chats.view_message"]
    if Banner.objects.filter(image=name).exists():
        yield ["chats.view_banner"]


def sweep() -> int:
    """Delete unreferenced files, at most MAX_FILES_PER_SWEEP per folder, and old drafts. Return how many were deleted.

    Such files remain if a process is killed between writing the file and committing its row. The next call continues
    after the last name of this one.
    """
    removed = 0
    for folder in (*FOLDERS, drafts.FOLDER):
        kept_for = 2 * drafts.KEPT if folder == drafts.FOLDER else AGE
        old = [name for name in _next_names(folder) if _is_older(name, kept_for)]
        for name in set(old) - (set() if folder == drafts.FOLDER else _referred_to(old)):
            discard(name)
            removed += 1
    if removed:
        log.info("files_swept", removed=removed)
    return removed


def _next_names(folder: str) -> list[str]:
    """Return the next MAX_FILES_PER_SWEEP names of a folder.

    The position is only in the cache; losing it restarts at the beginning.
    """
    key = f"chats.files.{folder}"
    try:
        names = default_storage.listdir(folder)[1]
    except FileNotFoundError:
        return []
    after = cache.get(key) or ""
    found = nsmallest(MAX_FILES_PER_SWEEP, (name for name in names if name > after))
    cache.set(key, found[-1] if len(found) == MAX_FILES_PER_SWEEP else "", None)
    return [f"{folder}/{name}" for name in found]


def _is_older(name: str, age: timedelta) -> bool:
    try:
        return default_storage.get_modified_time(name) < timezone.now() - age
    except FileNotFoundError:
        return False  # deleted meanwhile


def _referred_to(names: Iterable[str]) -> set[str]:
    names = list(names)
    return {
        name
        for model, field in ((Message, "own_image"), (Broadcast, "image"), (Banner, "image"))
        # The partial index excludes the empty name.
        for name in model._default_manager.filter(**{f"{field}__in": names})
        .exclude(**{field: ""})
        .values_list(field, flat=True)
    }
