"""A run's log as bytes: pieces in the database, read by range.

The log only grows while its run goes on, and what is there never changes, so a page reads from where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from testrunner.models import LogChunk

AT_ONCE = 16  # pieces a query brings
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
MAX_DIGITS = 18  # of a number in a Range header


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """A range begins where there is nothing (yet): RFC 9110, section 14.4."""


def wanted(header: str, size: int) -> ByteRange | None:
    """What a Range header asks of a log of `size` bytes; None for the whole (no range, several, or no sense in it).

    Source: RFC 9110, section 14.2: a range that is not understood is ignored. Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match.group(1, 2) == ("", "") or max(map(len, match.groups())) > MAX_DIGITS:
        return None
    first, last = match.groups()
    if not first:  # the last so many
        if not int(last) or not size:
            raise Unsatisfiable
        return ByteRange(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return ByteRange(int(first), min(int(last) + 1, size) if last else size)


def read(run_id: int, span: ByteRange) -> Iterator[bytes]:
    """Yield the bytes of the span, piece by piece; memory stays flat, however long it is."""
    chunks = LogChunk.objects.filter(run_id=run_id).order_by("offset")
    begins = chunks.filter(offset__lte=span.start).order_by("-offset").values_list("offset", flat=True).first() or 0
    while begins < span.stop:
        pieces = list(chunks.filter(offset__gte=begins, offset__lt=span.stop).values_list("offset", "data")[:AT_ONCE])
        if not pieces:
            return
        for offset, data in pieces:
            yield bytes(data[max(0, span.start - offset) : span.stop - offset])
            begins = offset + len(data)
