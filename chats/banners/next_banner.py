"""What the banner API has for us next: a look without consequences, for the page of banners."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from django.conf import settings
from django.core.cache import cache

from chats.banners.api_client import BannerApiError, Photo, photos, turn
from chats.broadcasts.prepare import MAX_IMAGE_BYTES
from chats.models import Banner
from core.busy import Busy
from core.http.safe_download import fetch
from core.http.url_policy import DownloadError
from core.images.conversion import ImageRefused, reencode

LOOK_SECONDS = 5.0  # for the API's list
PICTURE_SECONDS = 8.0
KEPT_SECONDS = 10 * 60  # a preview
REFUSED_SECONDS = 60  # the knowledge that there is none


@dataclass(frozen=True)
class Outlook:
    """The next photo that was never sent, if any, and how many are left with it.

    `counted_all` is False where the API was too slow to be read to its end: there are at least so many left.
    `error` is a sentence where the list cannot be used.
    """

    photo: Photo | None
    left: int
    counted_all: bool
    unusable: int
    error: str


class NoPreview(Exception):
    """The picture cannot be shown. Its text is a sentence for a person."""


def look_ahead() -> Outlook:
    """Ask the API for what is next and how much is left, in LOOK_SECONDS at most."""
    found = photos(
        api_url=settings.BANNER_API_URL, budget=LOOK_SECONDS, trusted_origins=settings.BANNER_TRUSTED_ORIGINS
    )
    spoken_for = set(Banner.objects.spoken_for().values_list("source_url", flat=True))
    following: Photo | None = None
    left = 0
    try:
        with turn():
            for photo in found:
                if photo.url not in spoken_for:
                    following = following or photo
                    left += 1
    except BannerApiError as error:
        return Outlook(following, left, False, found.unusable, "" if following else error.reason)
    return Outlook(following, left, True, found.unusable, "")


def preview(url: str) -> bytes:
    """Return the picture at `url` as a vetted WebP, kept for a while. Raises NoPreview, and Busy."""
    key = f"chats.preview.{sha256(url.encode()).hexdigest()}"
    kept = cache.get(key)
    if isinstance(kept, str):
        raise NoPreview(kept)
    if kept is not None:
        return kept
    try:
        with turn():
            fetched = fetch(
                url,
                deadline=PICTURE_SECONDS,
                max_bytes=MAX_IMAGE_BYTES,
                trusted_origins=settings.BANNER_TRUSTED_ORIGINS,
            )
        content = reencode(fetched.body).content
    except BannerApiError as error:
        raise Busy(error.reason) from error  # the only one of them that `turn` raises
    except (DownloadError, ImageRefused) as error:
        cache.set(key, error.reason, REFUSED_SECONDS)
        raise NoPreview(error.reason) from error
    cache.set(key, content, KEPT_SECONDS)
    return content
