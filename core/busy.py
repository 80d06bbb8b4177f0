"""All places for some kind of work are taken: whichever app meets it, the answer is 503 with Retry-After."""

from __future__ import annotations


class Busy(Exception):
    """Nothing was done, and it may be tried again in `seconds`. The text is a sentence for a person."""

    def __init__(self, words: str, *, seconds: int = 5) -> None:
        super().__init__(words)
        self.seconds = seconds
