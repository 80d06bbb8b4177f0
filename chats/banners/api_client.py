"""Client of the external banner API: pages of photos, in the service's order, with one time budget for all requests.

The format is that of `https://api.slingacademy.com/v1/sample-data/photos?offset=0&limit=20`: an object with `success`,
`message`, `total_photos` and `photos`. Each photo has its image address in `url`. A page past the end is empty.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings

from chats.stored_images import MAX_IMAGE_BYTES
from core.http.safe_download import fetch
from core.http.url_policy import Deadline, DownloadError, origin
from core.images.conversion import Picture, reencode

PAGE = 100  # photos requested per page; the service may return fewer
MAX_PAGES = 1000  # limit for a list that never ends
MAX_PAGE_BYTES = 2 * 1024 * 1024
MAX_URL_LENGTH = 2000  # chats.Banner.source_url
MAX_TITLE_LENGTH = 200
MAX_WAITING = 3  # concurrent requests per process, which has ten threads
_places = BoundedSemaphore(MAX_WAITING)


class BannerApiError(Exception):
    """The list cannot be used. `reason` is a sentence for users, `code` is for programs.

    Codes: those of DownloadError, and busy, not_json, wrong_shape, unsuccessful, nothing_left.
    """

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


class NothingLeft(BannerApiError):
    """The end of the list was reached. `unusable` is the number of its entries without a usable address."""

    def __init__(self, unusable: int = 0) -> None:
        entries = "1 entry of the list has" if unusable == 1 else f"{unusable} entries of the list have"
        words = f" ({entries} no usable address.)" if unusable else ""
        super().__init__(f"No banner left to send.{words}", "nothing_left")
        self.unusable = unusable


@contextmanager
def request_slot() -> Iterator[None]:
    """Hold one of this process's few slots for requests that wait for the external API.

    A slow API can hold MAX_WAITING threads, never all threads that serve pages. Raises BannerApiError if no slot is
    free.
    """
    if not _places.acquire(blocking=False):
        raise BannerApiError("The banner API is slow, and other requests wait for it. Try again in a moment.", "busy")
    try:
        yield
    finally:
        _places.release()


@dataclass(frozen=True)
class Photo:
    """One entry of the list. The title is printable and may be empty."""

    url: str
    title: str


class Photos(Iterator[Photo]):
    """Iterator over the photos of the list. It fetches pages on demand and yields each address once.

    `unusable` counts the entries skipped so far because they have no usable address. `next` raises BannerApiError.
    """

    def __init__(self, api_url: str, deadline: Deadline, trusted_origins: Collection[str]) -> None:
        self.unusable = 0
        self._api_url, self._deadline = api_url, deadline
        # The list's own origin is trusted for the list only; the origins of the images are trusted only if configured.
        self._trusted = {*trusted_origins, *_origin_of(api_url)}
        self._seen: set[str] = set()
        self._photos = self._walk()

    def __next__(self) -> Photo:
        return next(self._photos)

    def _walk(self) -> Iterator[Photo]:
        offset, before = 0, None
        for _ in range(MAX_PAGES):
            entries = self._page(offset)
            if not entries or entries == before:  # the end, or a service that ignores the offset
                return
            yield from self._usable(entries)
            offset, before = offset + len(entries), entries

    def _page(self, offset: int) -> list[Any]:
        try:
            fetched = fetch(
                _page_url(self._api_url, offset),
                deadline=self._deadline,
                max_bytes=MAX_PAGE_BYTES,
                trusted_origins=self._trusted,
            )
        except DownloadError as error:
            raise BannerApiError(f"The banner API cannot be used: {error.reason}", error.code) from error
        return _entries(fetched.body)

    def _usable(self, entries: list[Any]) -> Iterator[Photo]:
        for entry in entries:
            url = entry.get("url") if isinstance(entry, dict) else None
            if not _is_usable(url):
                self.unusable += 1
            elif url not in self._seen:
                self._seen.add(url)
                yield Photo(url, _printable(entry.get("title"), MAX_TITLE_LENGTH))


def photos(*, api_url: str, budget: float, trusted_origins: Collection[str] = ()) -> Photos:
    """Return a lazy iterator over the photos of the list at `api_url`, in its order.

    `budget` is in seconds, for all pages.

    The time starts now and also runs while the caller processes a photo. `trusted_origins` as in `fetch`.
    """
    return Photos(api_url, Deadline.after(budget), trusted_origins)


def download(url: str, *, seconds: float) -> Picture:
    """Return the photo at `url`, re-encoded. Raises DownloadError, ImageRefused and Busy."""
    origins = settings.BANNER_TRUSTED_ORIGINS
    return reencode(fetch(url, deadline=seconds, max_bytes=MAX_IMAGE_BYTES, trusted_origins=origins).body)


def _origin_of(api_url: str) -> set[str]:
    try:
        return {origin(api_url)}
    except ValueError:  # fetch reports what is wrong with it
        return set()


def _page_url(api_url: str, offset: int) -> str:
    try:
        parts = urlsplit(api_url)
    except ValueError:
        return api_url
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("offset", "limit")]
    return urlunsplit(parts._replace(query=urlencode([*query, ("offset", offset), ("limit", PAGE)]), fragment=""))


def _entries(body: bytes) -> list[Any]:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        kind = "a web page" if body.lstrip()[:1] == b"<" else "something"
        raise BannerApiError(f"The banner API answered with {kind} that is not JSON.", "not_json") from error
    if not isinstance(page, dict):
        raise BannerApiError("The banner API answered with JSON that is not an object.", "wrong_shape")
    if page.get("success") is False:
        said = _printable(page.get("message"), 200).rstrip(".!") or "it does not say why"
        raise BannerApiError(f"The banner API reports a failure: {said}.", "unsuccessful")
    entries = page.get("photos")
    if not isinstance(entries, list):
        raise BannerApiError("The banner API answered without a list of photos.", "wrong_shape")
    return entries


def _is_usable(url: Any) -> TypeGuard[str]:
    """Return whether this is an absolute http(s) address that fits the column.

    `fetch` decides whether it may be fetched.
    """
    if not isinstance(url, str) or len(url) > MAX_URL_LENGTH or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _printable(text: Any, longest: int) -> str:
    """Return an external text as one printable line of at most `longest` characters.

    The result can be stored in the database: it has no NUL and no lone surrogate.
    """
    if not isinstance(text, str):
        return ""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: longest * 4]).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
