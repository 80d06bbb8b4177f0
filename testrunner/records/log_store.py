"""A run's log as bytes: stored in chunks in the database, read by range.

While the run is active the log only grows, and existing bytes never change. So a page continues reading where it
stopped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from testrunner.models import LogChunk

CHUNKS_PER_QUERY = 16  # chunks per query
_RANGE = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
MAX_DIGITS = 18  # of a number in a Range header


class Unsatisfiable(Exception):
    """The range begins beyond the end of the log: RFC 9110, section 14.4."""


def parse_range(header: str, size: int) -> range | None:
    """Return the range that a Range header requests of a log of `size` bytes; None for the whole log.

    A missing header, several ranges and an invalid range all give None, because a range that is not understood is
    ignored (RFC 9110, section 14.2). Raises Unsatisfiable.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match.group(1, 2) == ("", "") or max(map(len, match.groups())) > MAX_DIGITS:
        return None
    first, last = match.groups()
    if not first:  # a suffix range: the last n bytes
        if not int(last) or not size:
            raise Unsatisfiable
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return range(int(first), min(int(last) + 1, size) if last else size)


def read(run_id: int, span: range) -> Iterator[bytes]:
    """Yield the bytes of the range, chunk by chunk. Memory use does not depend on its length."""
    chunks = LogChunk.objects.filter(run_id=run_id).order_by("offset")
    begins = chunks.filter(offset__lte=span.start).order_by("-offset").values_list("offset", flat=True).first() or 0
    while begins < span.stop:
        following = chunks.filter(offset__gte=begins, offset__lt=span.stop).values_list("offset", "data")
        pieces = list(following[:CHUNKS_PER_QUERY])
        if not pieces:
            return
        for offset, data in pieces:
            yield bytes(data[max(0, span.start - offset) : span.stop - offset])
            begins = offset + len(data)
