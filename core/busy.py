"""Error for exhausted capacity: all slots for some kind of work are taken. Every app answers 503 with Retry-After."""

from __future__ import annotations


class Busy(Exception):
    """Nothing was done; retry in `seconds`. The text is a sentence for people."""

    def __init__(self, words: str, *, seconds: int = 5) -> None:
        super().__init__(words)
        self.seconds = seconds
