"""Secret variables of an environment never reach what a run leaves: log, messages, report."""

from __future__ import annotations

import re
from collections.abc import Iterable

STARS = "***"
SHORTEST = 4  # characters: hiding every "1" would tell nobody anything and spoil every log


class Mask:
    """Replaces secret values in what a run says, also where one arrives in two pieces."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A value of several lines is printed line by line as often as not. Longer ones first: they contain others.
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        self._secrets = sorted((line for line in lines if len(line) >= SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._secrets)).encode()) if self._secrets else None
        self._held = b""

    def text(self, text: str) -> str:
        """The text without secrets, and without what Postgres cannot hold."""
        masked = self._masked(text.encode(errors="replace")).decode(errors="replace")
        return masked.replace("\0", "\N{REPLACEMENT CHARACTER}")

    def stream(self, piece: bytes) -> bytes:
        """The next piece of a stream without secrets. What may be the beginning of one is held back for now."""
        if self._pattern is None:
            return piece
        whole = self._masked(self._held + piece)
        keep = max((_overlap(whole, secret.encode()) for secret in self._secrets), default=0)
        self._held = whole[len(whole) - keep :]
        return whole[: len(whole) - keep]

    def rest(self) -> bytes:
        """What was held back: nothing follows that would make a secret of it."""
        held, self._held = self._held, b""
        return held

    def _masked(self, content: bytes) -> bytes:
        return content if self._pattern is None else self._pattern.sub(STARS.encode(), content)


def _overlap(stream: bytes, secret: bytes) -> int:
    """How many bytes at the end of the stream are a beginning of the secret."""
    for length in range(min(len(stream), len(secret) - 1), 0, -1):
        if stream.endswith(secret[:length]):
            return length
    return 0
