"""Non-blocking standard output: a stalled reader (Ctrl-S in a terminal, `| less`, a full pipe) blocks no caller.

Lines go into a queue of MAX_LINES, which a separate thread writes. Lines beyond that are dropped and counted, and the
count is printed when the reader reads again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

MAX_LINES = 10_000
FAREWELL = 1.0  # seconds at the end to write the remaining lines


class Output:
    """A file-like object that writes to a descriptor and never blocks its caller."""

    def __init__(self, descriptor: int, on_broken: Callable[[], object]) -> None:
        """`on_broken` is called in another thread when the reader has closed the pipe."""
        self.descriptor = descriptor
        self.on_broken = on_broken
        self.lines: deque[bytes] = deque()
        self.dropped = 0
        self.news = threading.Condition()
        self.writing = False
        threading.Thread(target=self._write_all, name="output", daemon=True).start()

    def write(self, text: str) -> None:
        with self.news:
            if len(self.lines) < MAX_LINES:
                self.lines.append(text.encode(errors="replace"))
            else:
                self.dropped += 1
            self.news.notify_all()

    def say(self, sentence: str) -> None:
        self.write(sentence + "\n")

    def flush(self) -> None:
        """Do nothing; part of the file interface."""

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def finish(self) -> None:
        """Wait up to FAREWELL seconds until the remaining lines are written."""
        until = time.monotonic() + FAREWELL
        with self.news:
            while (self.lines or self.writing) and (left := until - time.monotonic()) > 0:
                self.news.wait(left)

    def _write_all(self) -> None:
        while True:
            with self.news:
                self.writing = False
                self.news.notify_all()
                while not self.lines:
                    self.news.wait()
                block = b"".join(self.lines)
                self.lines.clear()
                if self.dropped:
                    block += f"{self.dropped} lines were dropped: the reader of this output was too slow.\n".encode()
                    self.dropped = 0
                self.writing = True
            try:
                while block:
                    block = block[os.write(self.descriptor, block) :]
            except OSError:  # the reader has closed the pipe, as `| head` does
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.descriptor)
                self.on_broken()
