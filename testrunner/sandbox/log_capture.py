"""The log of a run: made safe to store and to show, capped in its middle, and in memory never more than its tail.

People want the beginning, as it comes, and the end, where the traceback is. So the head goes out live; after it only
the last bytes are kept, raw and cheaply, and cleaned when the run is over.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from testrunner.sandbox.redaction import Mask

LINE = 16 * 2**10
FLUSH_BYTES, FLUSH_SECONDS = 64 * 2**10, 0.25


class Cleaner:
    """Turns bytes in any pieces into valid UTF-8 without NUL, and cuts lines at 16 KiB, saying how much is missing.

    A carriage return begins a line anew, so a progress bar may be written over as often as it likes.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._column = 0  # bytes of the line that is open, those cut off included

    def clean(self, raw: bytes, *, final: bool = False) -> bytes:
        text = self._decoder.decode(raw.translate(None, b"\0"), final).encode()
        first = text.partition(b"\n")[0].partition(b"\r")[0]
        cleaned = _head(first, max(0, LINE - self._column))
        self._column += len(first)
        if rest := text[len(first) :]:
            cleaned += _mark(self._column)
            end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
            cleaned += _each_cut(rest[:end]) + _head(rest[end:], LINE)
            self._column = len(rest) - end
        return cleaned + (_mark(self._column) if final else b"")

    def unfinished(self) -> bytes:
        """Return the first bytes of a character whose others have not come yet."""
        return self._decoder.getstate()[0]


def _each_cut(lines: bytes) -> bytes:
    """Cut each line, and each state of a line that is written over."""
    if len(lines) <= LINE:
        return lines
    return b"\n".join([line if len(line) <= LINE else _states_cut(line) for line in lines.split(b"\n")])


def _states_cut(line: bytes) -> bytes:
    return b"\r".join([_head(state, LINE) + _mark(len(state)) for state in line.split(b"\r")])


def _mark(length: int) -> bytes:
    """The words at the end of a line of this length, where it was cut."""
    return f" [{length - LINE:,} bytes cut]".encode() if length > LINE else b""


def _head(text: bytes, most: int) -> bytes:
    return text if len(text) <= most else _whole(text[:most])


def _whole(text: bytes) -> bytes:
    """Return the text without the character that was cut in its middle."""
    return text.decode(errors="ignore").encode()


class Log:
    """Takes what the tests write, and passes on head, one line about what was left out, and tail.

    Secrets are hidden before anything is cut: the lines, the end of the head, the beginning of the tail.
    """

    def __init__(
        self,
        pass_on: Callable[[bytes], None],
        *,
        head: int,
        tail: int,
        mask: Mask = Mask(),  # noqa: B008
    ) -> None:
        self._pass_on, self._head_room, self._tail_size, self._mask = pass_on, head, tail, mask
        self._cleaner = Cleaner()
        self._waiting = bytearray()
        self._flushed = time.monotonic()
        self._tail = bytearray()  # up to twice its size: to cut it at every write would move 3 MiB for every byte
        self.bytes = 0
        self.dropped = 0

    def write(self, raw: bytes) -> None:
        self.bytes += len(raw)
        if self._head_room == 0:
            self._tail += raw
            if len(self._tail) > 2 * self._tail_size + self._mask.longest:
                self._drop(len(self._tail) - self._tail_size - self._mask.longest)
            return
        text = self._cleaner.clean(self._mask.stream(raw))
        head = text if len(text) <= self._head_room else _whole(text[: self._head_room])
        self._waiting += head
        if len(text) >= self._head_room:
            self._head_room = 0
            self._tail += text[len(head) :] + self._cleaner.unfinished() + self._mask.rest()
        else:
            self._head_room -= len(head)
        self.flush(now=len(self._waiting) >= FLUSH_BYTES)

    def _drop(self, count: int) -> None:
        del self._tail[:count]
        self.dropped += count

    def flush(self, *, now: bool = False) -> None:
        """Pass on what is waiting, if it has been waiting for long enough."""
        if self._waiting and (now or time.monotonic() - self._flushed >= FLUSH_SECONDS):
            text = bytes(self._waiting)
            self._waiting.clear()
            self._flushed = time.monotonic()
            self._pass_on(text)

    def close(self) -> None:
        """Pass on the rest: what waits, the line about what was left out, the tail from its first whole line."""
        if self._head_room:
            self._waiting += self._cleaner.clean(self._mask.rest(), final=True)
        self.flush(now=True)
        surplus = max(0, len(self._tail) - self._tail_size)
        if self.dropped or surplus:
            start = self._tail.find(b"\n", surplus, surplus + LINE) + 1 or surplus
            self._drop(self._mask.beyond(self._tail, start))
        tail = self._mask.whole(bytes(self._tail))
        text = Cleaner().clean(tail, final=True)[-self._tail_size :].decode(errors="ignore").encode()
        if self.dropped:
            text = f"\n… {self.dropped:,} bytes left out …\n".encode() + text
        self._tail.clear()
        for start in range(0, len(text), FLUSH_BYTES):
            self._pass_on(text[start : start + FLUSH_BYTES])
