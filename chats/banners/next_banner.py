"""A read-only look at the next banner of the banner API, for the banner page."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from django.conf import settings
from django.core.cache import cache

from chats.banners.api_client import BannerApiError, Photo, download, photos, request_slot
from chats.models import Banner
from core.busy import Busy
from core.http.url_policy import DownloadError
from core.images.conversion import ImageRefused

LIST_SECONDS = 5.0  # for reading the API's list
PICTURE_SECONDS = 8.0
KEPT_SECONDS = 10 * 60  # for a cached preview
REFUSED_SECONDS = 60  # for a cached failure


@dataclass(frozen=True)
class NextBanner:
    """The next photo that was never sent, if any, and the number of unsent photos, including it.

    `counted_all` is False if the API was too slow to be read to its end; then at least `left` photos are unsent.
    `error` is a sentence if the list cannot be used.
    """

    photo: Photo | None
    left: int
    counted_all: bool
    unusable: int
    error: str


class NoPreview(Exception):
    """The picture cannot be shown. The exception's text is a sentence for the user."""


def find_next_banner() -> NextBanner:
    """Read the API's list for at most LIST_SECONDS. Return the next photo and the number of unsent ones."""
    found = photos(
        api_url=settings.BANNER_API_URL, budget=LIST_SECONDS, trusted_origins=settings.BANNER_TRUSTED_ORIGINS
    )
    unavailable = set(Banner.objects.unavailable().values_list("source_url", flat=True))
    following: Photo | None = None
    left = 0
    try:
        with request_slot():
            for photo in found:
                if photo.url not in unavailable:
                    following = following or photo
                    left += 1
    except BannerApiError as error:
        return NextBanner(following, left, False, found.unusable, "" if following else error.reason)
    return NextBanner(following, left, True, found.unusable, "")


def preview(url: str) -> bytes:
    """Return the picture at `url` as a re-encoded WebP, cached for KEPT_SECONDS. Raises NoPreview and Busy."""
    key = f"chats.preview.{sha256(url.encode()).hexdigest()}"
    kept = cache.get(key)
    if isinstance(kept, str):
        raise NoPreview(kept)
    if kept is not None:
        return kept
    try:
        with request_slot():
            content = download(url, seconds=PICTURE_SECONDS).content
    except BannerApiError as error:
        raise Busy(error.reason) from error  # the only BannerApiError raised by `request_slot`
    except (DownloadError, ImageRefused) as error:
        cache.set(key, error.reason, REFUSED_SECONDS)
        raise NoPreview(error.reason) from error
    cache.set(key, content, KEPT_SECONDS)
    return content
