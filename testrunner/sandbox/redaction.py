"""Redaction of an environment's secret variables in everything that a run stores: log, ids, messages, tracebacks,
report.

A value is redacted as it is, and in the forms in which pytest and ordinary code print it: escaped for Python, JSON,
XML, HTML or a URL, in hexadecimal and in Base64, and line by line. In Base64 it is found at any position of the encoded
text, for example in an HTTP header with a password. Redaction comes before cutting, so no cut leaves the beginning of a
secret.

This prevents accidents only. A test that wants to reveal a secret can encode it in many other ways. Values of less than
four characters are not redacted. Base64 with line breaks inside a value is not found. In an assertion, pytest may show
both ends of a very long value.
"""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

STARS = "***"
# escapes in XML attributes, as Python writes them
IN_ATTRIBUTES = {'"': "&quot;", "\t": "&#09;", "\n": "&#10;", "\r": "&#13;"}
MIN_SECRET_LENGTH = 4  # characters: redacting every "1" would protect nothing and make logs unreadable


class Redactor:
    """Replaces secret values in the output of a run, also when a value arrives in two pieces."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A value of several lines is often printed line by line. Longer values come first, because they may contain
        # others.
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        spelled = {form for line in lines if len(line) >= MIN_SECRET_LENGTH for form in spellings(line)}
        self._secrets = sorted((form.encode(errors="replace") for form in spelled), key=len, reverse=True)
        self._withheld = b""
        self._hidden = 0  # bytes at the start of _held that belong to a secret whose stars were already written
        self.max_length = max(map(len, self._secrets), default=0)  # length of the longest form, in bytes

    def redact(self, text: str) -> str:
        """Return the text without secrets, and without NUL, which Postgres cannot store."""
        redacted = self.redact_bytes(text.encode(errors="replace")).decode(errors="replace")
        return redacted.replace("\0", "\N{REPLACEMENT CHARACTER}")

    def redact_bytes(self, content: bytes) -> bytes:
        """Return the complete content without secrets."""
        return self._with_stars(content, self._spans(content), len(content)) if self._secrets else content

    def redact_stream(self, piece: bytes) -> bytes:
        """Return the next piece of a stream without secrets. Bytes that may begin a secret are held back for now.

        Secrets are searched in the original bytes, not in the redacted ones. A secret may begin with a shorter one, or
        with the end of one, and its rest must not pass because the shorter one was replaced.
        """
        if not self._secrets:
            return piece
        content = self._withheld + piece
        end = len(content) - max(_overlap(content, secret) for secret in self._secrets)
        spans = self._spans(content, self._hidden)
        redacted = self._with_stars(content, spans, end, self._hidden)
        written = [stop for start, stop in spans if start < end or (start == 0 and self._hidden > 0)]
        self._hidden = max((stop - end for stop in written), default=0)
        self._withheld = content[end:]
        return redacted

    def end_stream(self) -> bytes:
        """Return the bytes held back at the end of the stream, redacted: nothing follows that could complete a longer
        secret.
        """
        held, hidden, self._withheld, self._hidden = self._withheld, max(self._hidden, 0), b"", 0
        return self._with_stars(held, self._spans(held, hidden), len(held), hidden)

    def safe_cut(self, content: bytes | bytearray, place: int) -> int:
        """Return the first position from `place` on at which the content can be cut without cutting a secret."""
        while True:
            first = max(0, place - self.max_length)
            around = bytes(content[first : place + self.max_length])
            cut = [stop for start, stop in self._spans(around) if start < place - first < stop]
            if not cut:
                return place
            place = first + cut[0]

    def _spans(self, content: bytes, hidden: int = 0) -> list[tuple[int, int]]:
        """Return the (start, stop) positions of secrets in order, with overlapping ones merged.

        The first `hidden` bytes count as part of a secret.
        """
        found = [(0, hidden)] if hidden > 0 else []
        for secret in self._secrets:
            start = content.find(secret)
            while start >= 0:
                found.append((start, start + len(secret)))
                start = content.find(secret, start + 1)
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((start, stop))
        return merged

    def _with_stars(self, content: bytes, spans: list[tuple[int, int]], end: int, hidden: int = 0) -> bytes:
        """Return the content up to `end` with stars for each span. The `hidden` bytes at the start already have their
        stars.
        """
        pieces, place = [], 0
        for start, stop in spans:
            if start >= end:
                break
            pieces.append(content[place:start])
            if start > 0 or hidden <= 0:
                pieces.append(STARS.encode())
            place = min(stop, end)
        return b"".join([*pieces, content[place:end]])


def spellings(secret: str) -> Iterator[str]:
    """Yield a value as it is, and in the forms in which pytest and ordinary code print it."""
    escaped = {
        secret,
        # repr() chooses the quotes, and so what it escapes, by the whole text.
        *(spell(f"{around}|{secret}").partition("|")[2][:-1] for spell in (repr, ascii) for around in ("'", '"')),
        repr(secret.encode(errors="replace"))[2:-1],
        secret.encode("unicode_escape").decode(),  # in the id of a parametrised test
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
    yield from escaped
    for form in escaped:
        yield from (escape(form), escape(form, IN_ATTRIBUTES), html.escape(form))
    given = secret.encode(errors="replace")
    yield from (quote(given, safe=""), quote(given), quote_plus(given))
    yield from (given.hex(), given.hex().upper())
    yield from base64_spellings(given)


def base64_spellings(secret: bytes) -> Iterator[str]:
    """Yield the Base64 forms of a value that starts at offset 0, 1 or 2 in a group of three bytes.

    Digits that depend on neighbouring bytes are left out, so a form is found regardless of what surrounds the value.
    """
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(secret).decode()
        for before, first in ((0, 0), (1, 2), (2, 3)):
            digits = encode(bytes(before) + secret).decode()[first : (before + len(secret)) * 8 // 6]
            if len(digits) >= MIN_SECRET_LENGTH:
                yield digits


def _overlap(stream: bytes, secret: bytes) -> int:
    """Return how many bytes at the end of the stream are a prefix of the secret."""
    start = max(0, len(stream) - len(secret) + 1)
    while (start := stream.find(secret[:1], start)) >= 0:
        if secret.startswith(stream[start:]):
            return len(stream) - start
        start += 1
    return 0
