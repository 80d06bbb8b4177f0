"""Secret variables of an environment do not reach what a run leaves: log, ids, messages, tracebacks, report.

A value is hidden as it is, and in the spellings in which pytest and ordinary code print it: escaped for Python, JSON,
XML, HTML or a URL, in hexadecimal and in Base64, and line by line. In Base64 it is found wherever it lies in what was
encoded, as the password of an HTTP header does. Nothing is cut off before it is hidden, so no cut leaves the beginning
of one.

It keeps accidents from happening. A test that means to tell a secret can spell it in a thousand other ways, values of
less than four characters are not hidden, Base64 that is wrapped within a value is not found, and of a very long one
pytest may show both ends in an assertion.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

STARS = "***"
IN_ATTRIBUTES = {'"': "&quot;", "\t": "&#09;", "\n": "&#10;", "\r": "&#13;"}  # of XML, as Python writes it
SHORTEST = 4  # characters: hiding every "1" would tell nobody anything and spoil every log


class Mask:
    """Replaces secret values in what a run says, also where one arrives in two pieces."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A value of several lines is printed line by line as often as not. Longer ones first: they contain others.
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        spelled = {form for line in lines if len(line) >= SHORTEST for form in spellings(line)}
        self._secrets = sorted((form.encode(errors="replace") for form in spelled), key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets))) if self._secrets else None
        self._held = b""
        self.longest = max(map(len, self._secrets), default=0)  # bytes

    def text(self, text: str) -> str:
        """The text without secrets, and without what Postgres cannot hold."""
        masked = self.whole(text.encode(errors="replace")).decode(errors="replace")
        return masked.replace("\0", "\N{REPLACEMENT CHARACTER}")

    def whole(self, content: bytes) -> bytes:
        """The bytes without secrets; nothing follows them."""
        return content if self._pattern is None else self._pattern.sub(STARS.encode(), content)

    def stream(self, piece: bytes) -> bytes:
        """The next piece of a stream without secrets. What may be the beginning of one is held back for now."""
        if self._pattern is None:
            return piece
        whole = self.whole(self._held + piece)
        keep = max((_overlap(whole, secret) for secret in self._secrets), default=0)
        self._held = whole[len(whole) - keep :]
        return whole[: len(whole) - keep]

    def rest(self) -> bytes:
        """What was held back: nothing follows that would make a secret of it."""
        held, self._held = self._held, b""
        return held

    def beyond(self, content: bytes | bytearray, place: int) -> int:
        """The first place from this one on at which the content can be cut without cutting a secret."""
        if self._pattern is not None:
            for found in self._pattern.finditer(content, max(0, place - self.longest), place + self.longest):
                if found.start() < place < found.end():
                    return found.end()
        return place


def spellings(secret: str) -> Iterator[str]:
    """Yield a value as it is, and as it stands in what pytest and ordinary code print."""
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
    """Yield what Base64 makes of a value with zero, one or two bytes before it in its group of three.

    Digits that other bytes have a part in are left out, so this is found whatever stands around the value.
    """
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(secret).decode()
        for before, first in ((0, 0), (1, 2), (2, 3)):
            digits = encode(bytes(before) + secret).decode()[first : (before + len(secret)) * 8 // 6]
            if len(digits) >= SHORTEST:
                yield digits


def _overlap(stream: bytes, secret: bytes) -> int:
    """How many bytes at the end of the stream are a beginning of the secret."""
    start = max(0, len(stream) - len(secret) + 1)
    while (start := stream.find(secret[:1], start)) >= 0:
        if secret.startswith(stream[start:]):
            return len(stream) - start
        start += 1
    return 0
