"""LogCapture of a run: made safe for storage and display, and capped by leaving out its middle. Memory holds only the
tail.

Readers want the beginning while it is written, and the end, where the traceback is. So the head is passed on live.
After it, only the last bytes are kept, raw because that is cheap, and cleaned when the run is over.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from testrunner.sandbox.redaction import Redactor

MAX_LINE = 16 * 2**10
FLUSH_BYTES, FLUSH_SECONDS = 64 * 2**10, 0.25


class LogCleaner:
    """Incremental decoder that returns valid UTF-8 without NUL, and cuts lines at 16 KiB with a note of how much is
    missing.

    A carriage return starts a new line for this limit, so a progress bar may be overwritten any number of times.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._column = 0  # bytes of the unfinished line, including those cut off

    def clean(self, raw: bytes, *, final: bool = False) -> bytes:
        text = self._decoder.decode(raw.translate(None, b"\0"), final).encode()
        first = text.partition(b"\n")[0].partition(b"\r")[0]
        cleaned = _head(first, max(0, MAX_LINE - self._column))
        self._column += len(first)
        if rest := text[len(first) :]:
            cleaned += _cut_note(self._column)
            end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
            cleaned += _cut_lines(rest[:end]) + _head(rest[end:], MAX_LINE)
            self._column = len(rest) - end
        return cleaned + (_cut_note(self._column) if final else b"")

    def unfinished(self) -> bytes:
        """Return the first bytes of a character whose remaining bytes have not arrived yet."""
        return self._decoder.getstate()[0]


def _cut_lines(lines: bytes) -> bytes:
    """Cut each line, and each overwritten state of a line (separated by carriage returns), to MAX_LINE bytes."""
    if len(lines) <= MAX_LINE:
        return lines
    return b"\n".join([line if len(line) <= MAX_LINE else _states_cut(line) for line in lines.split(b"\n")])


def _states_cut(line: bytes) -> bytes:
    return b"\r".join([_head(state, MAX_LINE) + _cut_note(len(state)) for state in line.split(b"\r")])


def _cut_note(length: int) -> bytes:
    """Return the note at the end of a line of this length; empty if it was not cut."""
    return f" [{length - MAX_LINE:,} bytes cut]".encode() if length > MAX_LINE else b""


def _head(text: bytes, most: int) -> bytes:
    return text if len(text) <= most else _without_partial_character(text[:most])


def _without_partial_character(text: bytes) -> bytes:
    """Return the text without an incomplete character at its end."""
    return text.decode(errors="ignore").encode()


class LogCapture:
    """Receives the output of the tests and passes on the head, a line that states how much was left out, and the tail.

    Secrets are redacted before anything is cut: lines, the end of the head, the beginning of the tail.
    """

    def __init__(
        self,
        pass_on: Callable[[bytes], None],
        *,
        head: int,
        tail: int,
        redactor: Redactor = Redactor(),  # noqa: B008
    ) -> None:
        self._pass_on, self._head_room, self._tail_size, self._redactor = pass_on, head, tail, redactor
        self._cleaner = LogCleaner()
        self._waiting = bytearray()
        self._flushed = time.monotonic()
        self._tail = bytearray()  # up to twice its size: trimming it at every write would move 3 MiB per byte
        self.bytes = 0
        self.dropped = 0

    def write(self, raw: bytes) -> None:
        self.bytes += len(raw)
        if self._head_room == 0:
            self._tail += raw
            if len(self._tail) > 2 * self._tail_size + self._redactor.max_length:
                self._drop(len(self._tail) - self._tail_size - self._redactor.max_length)
            return
        text = self._cleaner.clean(self._redactor.redact_stream(raw))
        head = text if len(text) <= self._head_room else _without_partial_character(text[: self._head_room])
        self._waiting += head
        if len(text) >= self._head_room:
            self._head_room = 0
            self._tail += text[len(head) :] + self._cleaner.unfinished() + self._redactor.end_stream()
        else:
            self._head_room -= len(head)
        self.flush(now=len(self._waiting) >= FLUSH_BYTES)

    def _drop(self, count: int) -> None:
        del self._tail[:count]
        self.dropped += count

    def flush(self, *, now: bool = False) -> None:
        """Pass on the waiting text if it has waited FLUSH_SECONDS, or at once with `now`."""
        if self._waiting and (now or time.monotonic() - self._flushed >= FLUSH_SECONDS):
            text = bytes(self._waiting)
            self._waiting.clear()
            self._flushed = time.monotonic()
            self._pass_on(text)

    def close(self) -> None:
        """Pass on the rest: the waiting text, the line about the gap, and the tail from its first whole line."""
        if self._head_room:
            self._waiting += self._cleaner.clean(self._redactor.end_stream(), final=True)
        self.flush(now=True)
        surplus = max(0, len(self._tail) - self._tail_size)
        if self.dropped or surplus:
            start = self._tail.find(b"\n", surplus, surplus + MAX_LINE) + 1 or surplus
            self._drop(self._redactor.safe_cut(self._tail, start))
        tail = self._redactor.redact_bytes(bytes(self._tail))
        text = LogCleaner().clean(tail, final=True)[-self._tail_size :].decode(errors="ignore").encode()
        if self.dropped:
            text = f"\n… {self.dropped:,} bytes left out …\n".encode() + text
        self._tail.clear()
        for start in range(0, len(text), FLUSH_BYTES):
            self._pass_on(text[start : start + FLUSH_BYTES])
