"""Services that write chats, messages and broadcasts, for views, admin, commands and other apps.

They write rows first and wake workers on commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils import timezone

from chats import realtime
from chats.banners.api_client import NothingLeft, Photo, photos, request_slot
from chats.broadcasts.state_changes import (
    cancel,
    pause,
    queue_when_due,
    release_banner,
    restore,
    resume,
    retract,
    retry,
    wake_workers,
)
from chats.models import ALL_CHATS, Audience, Banner, Broadcast, BroadcastNotAllowed, Chat, Message
from chats.stored_images import discard, discard_on_commit, stored
from core.database.deadlocks import retried
from core.images.conversion import Picture
from core.timezones import with_zone

__all__ = [
    "BroadcastChanged", "cancel", "compose", "delete_broadcast", "mark_read", "open_chat", "pause", "post_message",
    "restore", "resume", "retract", "retry", "send_next_banner", "send_photo", "skip_banner", "sweep_broadcasts",
    "unsent_photos", "unskip_banner", "update_scheduled", "wake_workers",
]  # fmt: skip

QUIET = timedelta(seconds=5)  # a broadcast without progress for this long may have lost its wake-up message
API_SECONDS = 5.0  # seconds per request for all calls of the banner API


class BroadcastChanged(BroadcastNotAllowed):
    """Another user has changed the broadcast since the caller read it.

    The text names the user and the current content.
    """

    def __init__(self, broadcast: Broadcast) -> None:
        last = broadcast.steps.select_related("actor").last()
        who = last.actor.get_username() if last and last.actor else "Opsroom"
        words = f"“{broadcast.text[:200]}”" if broadcast.text else "without a text"
        when = with_zone(broadcast.send_at) if broadcast.send_at else "at once"
        super().__init__(
            f"{who} changed this broadcast meanwhile. It is now {words}, to be sent {when}. Save again to replace that."
        )


def open_chat(*, user_uuid: UUID) -> tuple[Chat, bool]:
    """Return the user's chat, and whether this call created it."""
    return Chat.objects.get_or_create(user_uuid=user_uuid)


def post_message(*, chat: Chat, text: str = "", image: Picture | None = None) -> Message:
    """Create a personal message in one chat.

    Raises ValueError without text and image, Chat.DoesNotExist if the chat was deleted meanwhile, StorageFailure if the
    picture cannot be stored.
    """
    if not text.strip() and image is None:
        raise ValueError("A message needs a text or an image.")
    with stored(image, folder="messages") as name, transaction.atomic():
        _lock_chat(chat)
        message = Message.objects.create(chat=chat, own_text=text.strip(), own_image=name)
        realtime.message_created(message)
    return message


@retried
def mark_read(*, chat: Chat, up_to: int | None = None, ids: Collection[int] | None = None) -> int:
    """Mark the chat's visible messages as read. Return how many were unread.

    By default all messages are marked; with `up_to`, those up to and including that id; with `ids`, exactly those. A
    caller that has displayed messages should pass `ids`, because a message with a lower id may appear later. Raises
    Chat.DoesNotExist if the chat was deleted meanwhile.
    """
    with transaction.atomic():
        _lock_chat(chat)  # two concurrent calls would update the messages in different orders and could deadlock
        unread = chat.messages.visible().unread()
        if up_to is not None:
            unread = unread.filter(pk__lte=up_to)
        if ids is not None:
            unread = unread.filter(pk__in=ids)
        return unread.update(read_at=timezone.now())


def _lock_chat(chat: Chat) -> None:
    """Lock the chat against deletion until the commit, without blocking a fan-out. Raises Chat.DoesNotExist."""
    Chat.objects.select_for_update(no_key=True).get(pk=chat.pk)


def compose(
    *,
    actor: Any,
    text: str = "",
    image: Picture | str | None = None,
    audience: Audience = ALL_CHATS,
    send_at: datetime | None = None,
    request_key: UUID | None = None,
) -> Broadcast:
    """Queue a broadcast, or schedule it for `send_at`, to an audience.

    `image` is a re-encoded picture, or the name of one that is already stored for this broadcast. A repeated
    `request_key` returns the broadcast it created the first time. Raises ValueError without text and image,
    StorageFailure if the picture cannot be stored.
    """
    if not text.strip() and image is None:
        raise ValueError("A broadcast needs a text or an image.")
    later = send_at is not None and send_at > timezone.now()
    with stored(image, folder="messages") as name:
        broadcast = Broadcast(
            text=text.strip(),
            image=name,
            audience=audience.kind,
            send_at=send_at if later else None,
            status=Broadcast.Status.SCHEDULED if later else Broadcast.Status.QUEUED,
            created_by=actor,
            request_key=request_key,
        )
        made = _created_once(broadcast, actor, audience)
    if made is not broadcast:
        discard(name)
    return made


def update_scheduled(
    *,
    broadcast: Broadcast,
    actor: Any,
    text: str,
    image: Picture | str | None,
    send_at: datetime | None,
    seen: int | None = None,
) -> None:
    """Change a scheduled or missed broadcast. Without `send_at` it is sent now.

    `image` is as in `compose`, or the name of the broadcast's own picture, which is then kept. `seen` is the version
    that the actor has seen. Raises BroadcastChanged if the version differs; BroadcastNotAllowed if it is too late, or
    if another user has replaced the picture to be kept; StorageFailure.
    """
    if not text.strip() and not image:
        raise ValueError("A broadcast needs a text or an image.")
    fields = {"text": text.strip(), "send_at": send_at or timezone.now()}
    if image and image == broadcast.image.name:
        _update_scheduled(broadcast, actor, {**fields, "image": image}, keeps_image=True, seen=seen)
        return
    with stored(image, folder="messages") as name:
        _update_scheduled(broadcast, actor, {**fields, "image": name}, keeps_image=False, seen=seen)


@retried
def _update_scheduled(
    broadcast: Broadcast, actor: Any, fields: dict[str, Any], *, keeps_image: bool, seen: int | None
) -> None:
    with transaction.atomic():
        scheduled = Broadcast.objects.changeable().select_for_update().filter(pk=broadcast.pk).first()
        if scheduled is None:
            raise BroadcastNotAllowed(f"Broadcast {broadcast.pk} is not scheduled any more and cannot be changed.")
        earlier = scheduled.image.name or ""
        if seen is not None and seen != scheduled.version:
            if {"text": scheduled.text, "send_at": scheduled.send_at, "image": earlier} == fields:
                return  # the same form was submitted twice
            raise BroadcastChanged(scheduled)
        if keeps_image and earlier != fields["image"]:
            raise BroadcastNotAllowed(f"The picture of broadcast {broadcast.pk} was replaced meanwhile. Open it again.")
        for name, value in fields.items():
            setattr(scheduled, name, value)
        scheduled.status = Broadcast.Status.SCHEDULED
        scheduled.save(update_fields=[*fields, "status"])
        scheduled.steps.create(verb="changed", actor=actor)
        realtime.broadcast_progress(scheduled)
        if earlier != fields["image"]:
            discard_on_commit(earlier)


@retried
def delete_broadcast(*, broadcast: Broadcast) -> None:
    """Delete a broadcast whose sending has not started, with its list and picture. Others raise BroadcastNotAllowed.

    The row lock serialises this with the sweeper that queues the broadcast and with a user who retries it.
    """
    with transaction.atomic():
        row = Broadcast.objects.select_for_update().filter(pk=broadcast.pk).first()
        if row is None:
            raise BroadcastNotAllowed(f"Broadcast {broadcast.pk} was deleted.")
        if not row.is_deletable:
            raise BroadcastNotAllowed(_why_not_deletable(row))
        if not row.banner_url:  # a banner keeps its picture
            discard_on_commit(row.image.name or "")
        realtime.broadcast_deleted(row)
        row.delete()


def _why_not_deletable(broadcast: Broadcast) -> str:
    if broadcast.audience_size is None:
        return f"Broadcast {broadcast.pk} is {broadcast.status}. Cancel it first, then delete it."
    return f"Sending of broadcast {broadcast.pk} has begun, so it cannot be deleted. Cancel or retract it instead."


def _created_once(broadcast: Broadcast, actor: Any, audience: Audience = ALL_CHATS) -> Broadcast:
    """Save a new broadcast with its audience, first step and wake-up.

    Return the existing one if its request_key is known.
    """
    try:
        with transaction.atomic():
            broadcast.save()
            audience.store(broadcast)
            broadcast.steps.create(verb=broadcast.status, actor=actor)
            realtime.broadcast_progress(broadcast)
            if broadcast.status == Broadcast.Status.QUEUED:
                wake_workers(broadcast)
    except IntegrityError:
        earlier = Broadcast.objects.filter(request_key=broadcast.request_key, request_key__isnull=False).first()
        if earlier is None:
            raise
        return earlier
    return broadcast


def send_next_banner(*, actor: Any, request_key: UUID | None = None) -> Broadcast:
    """Reserve the first photo of the banner API that was never sent, and queue it to all chats.

    A repeated `request_key` returns the broadcast it created the first time. Raises BannerApiError like
    `unsent_photos`.
    """
    if request_key and (earlier := Broadcast.objects.filter(request_key=request_key).first()):
        return earlier
    with closing(unsent_photos()) as found:
        while True:
            if broadcast := send_photo(photo=next(found), actor=actor, request_key=request_key):
                return broadcast


def unsent_photos() -> Generator[Photo, None, None]:
    """Yield the photos of the banner API that were never sent, in its order, fetching pages on demand.

    Call it outside a transaction and close it: it holds one of the few slots for requests to the API, for at most
    API_SECONDS. Raises BannerApiError; its subclass NothingLeft means that all photos were sent.
    """
    found = photos(api_url=settings.BANNER_API_URL, budget=API_SECONDS, trusted_origins=settings.BANNER_TRUSTED_ORIGINS)
    unavailable = set(Banner.objects.unavailable().values_list("source_url", flat=True))
    with request_slot():
        for photo in found:
            if photo.url not in unavailable:
                yield photo
    raise NothingLeft(found.unusable)


def send_photo(*, photo: Photo, actor: Any, request_key: UUID | None = None) -> Broadcast | None:
    """Queue this photo to all chats. None if another request reserved it first, as the unique constraint decides."""
    Banner.objects.get_or_create(source_url=photo.url, defaults={"title": photo.title[:200]})
    try:
        with transaction.atomic():
            banner = Banner.objects.select_for_update().get(source_url=photo.url)
            if banner.skipped_at is not None:
                return None
            broadcast = Broadcast(banner=banner, banner_url=photo.url, created_by=actor, request_key=request_key)
            return _created_once(broadcast, actor)
    except IntegrityError:
        return None


@retried
def skip_banner(*, url: str, title: str, actor: Any) -> Banner:
    """Skip a photo of the banner API permanently. Raises BroadcastNotAllowed if it is reserved or sent."""
    with transaction.atomic():
        banner = Banner.objects.select_for_update().get_or_create(source_url=url, defaults={"title": title[:200]})[0]
        if Broadcast.objects.filter(banner=banner).exists():
            raise BroadcastNotAllowed("This banner is being sent or was sent already.")
        banner.skipped_at = banner.skipped_at or timezone.now()
        banner.skip_reason = banner.skip_reason or f"skipped by {actor}"
        banner.save(update_fields=["skipped_at", "skip_reason"])
    return banner


def unskip_banner(*, banner: Banner) -> None:
    """Undo `skip_banner`."""
    Banner.objects.filter(pk=banner.pk).update(skipped_at=None, skip_reason="")


def sweep_broadcasts() -> None:
    """Queue scheduled broadcasts that are due, and wake workers for those without progress.

    Progress stops when a wake-up message is lost or a worker dies.
    """
    for due in Broadcast.objects.scheduled().filter(send_at__lte=Now()):
        _ignoring_races(queue_when_due, due)
    for cancelled in Broadcast.objects.keeping_a_banner():
        release_banner(cancelled)
    idle = Now() - QUIET
    abandoned = Q(lease_until=None) | Q(lease_until__lt=Now())
    for queued in Broadcast.objects.queued().filter(abandoned):
        wake_workers(queued)
    quiet = Broadcast.objects.sending().annotate(moved_at=Max("chunks__done_at"))
    for sending in quiet.filter(Q(moved_at=None) | Q(moved_at__lt=idle)):
        wake_workers(sending)


def _ignoring_races(verb: Callable[[Broadcast], None], broadcast: Broadcast) -> None:
    try:
        verb(broadcast)
    except (BroadcastNotAllowed, Broadcast.DoesNotExist):
        return  # the broadcast was changed concurrently
