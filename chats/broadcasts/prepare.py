"""Preparation of a queued broadcast: download the banner's picture and freeze the audience.

A lease admits one worker.
"""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from chats import realtime
from chats.banners.api_client import download
from chats.broadcasts import fanout, state_changes
from chats.models import Banner, Broadcast, BroadcastNotAllowed
from chats.stored_images import stored
from core.busy import Busy
from core.http.url_policy import DownloadError
from core.images.conversion import ImageRefused, Picture
from core.storage_failure import StorageFailure

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)  # longer than DOWNLOAD_SECONDS plus re-encoding, and short enough for a user who waits
DOWNLOAD_SECONDS = 15.0
NO_DOWNLOAD = "The banner could not be downloaded:"


def prepare(broadcast: Broadcast) -> bool:
    """Prepare a queued broadcast. True if this call started sending.

    If the picture cannot be downloaded, the broadcast fails before any message exists and its banner is released. A
    banner that can never be used (not a picture, far too large) is skipped permanently, so that the next request sends
    another one.
    """
    if not _lease(broadcast) or _is_missed(broadcast):
        return False
    try:
        if broadcast.banner is not None and not broadcast.image and not _download(broadcast, broadcast.banner):
            return False
        return fanout.freeze(broadcast, largest_chunk=settings.BROADCAST_CHUNK)
    except OperationalError:  # chats are being opened in a long transaction; the sweeper retries
        Broadcast.objects.held_by(broadcast).update(lease_until=None)
        raise
    except Busy:  # too many pictures are being decoded, not a fault of this one; the sweeper retries
        Broadcast.objects.held_by(broadcast).update(lease_until=None)
        return False


def _lease(broadcast: Broadcast) -> bool:
    """Take the lease and reload the row, because the caller's copy may be older than the last failure or retry."""
    free = Q(lease_until=None) | Q(lease_until__lt=Now())
    with transaction.atomic():
        if not Broadcast.objects.queued().filter(free, pk=broadcast.pk).update(lease_until=Now() + LEASE):
            return False
        broadcast.refresh_from_db()
    return True


def _is_missed(broadcast: Broadcast) -> bool:
    try:
        state_changes.miss(broadcast)
    except BroadcastNotAllowed:
        return False
    return True


def _download(broadcast: Broadcast, banner: Banner) -> bool:
    try:
        picture = download(banner.source_url, seconds=DOWNLOAD_SECONDS)
    except DownloadError as error:
        _give_up(broadcast, banner, f"{NO_DOWNLOAD} {error.reason}", useless=error.reason if error.permanent else "")
        return False
    except ImageRefused as error:
        _give_up(broadcast, banner, f"{NO_DOWNLOAD} {error.reason}", useless=error.reason)
        return False
    return _keep(broadcast, banner, picture)


def _keep(broadcast: Broadcast, banner: Banner, picture: Picture) -> bool:
    """Set the picture of the banner and the broadcast. False if the lease is lost or the storage fails."""
    try:
        with stored(picture, folder="banners") as name, transaction.atomic():
            Banner.objects.select_for_update().get(pk=banner.pk)  # banner before broadcast, as everywhere
            if not Broadcast.objects.held_by(broadcast).update(image=name):
                raise BroadcastNotAllowed("The lease is lost.")
            Banner.objects.filter(pk=banner.pk).update(image=name, sha256=picture.sha256)
            broadcast.refresh_from_db()
            realtime.broadcast_progress(broadcast)
    except BroadcastNotAllowed:
        return False
    except StorageFailure as error:
        _give_up(broadcast, banner, f"The banner could not be stored: {error}")
        return False
    return True


def _give_up(broadcast: Broadcast, banner: Banner, reason: str, *, useless: str = "") -> None:
    """Fail the broadcast. If `useless` has a reason, also skip its banner permanently."""
    try:
        with transaction.atomic():
            Banner.objects.select_for_update().get(pk=banner.pk)  # prevents its reservation before it is skipped
            state_changes.fail(broadcast, reason)
            if useless:
                Banner.objects.filter(pk=banner.pk, skipped_at=None).update(skipped_at=Now(), skip_reason=useless[:500])
    except BroadcastNotAllowed:
        return  # paused, cancelled or taken over meanwhile: the other side decides what happens
    log.warning("broadcast_failed", broadcast=broadcast.pk, reason=reason, banner_skipped=bool(useless))
