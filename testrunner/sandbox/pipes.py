"""How a run's words reach the worker: pipes, read without blocking, and never waited for to end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping

PIECE = 64 * 2**10


class Pipe:
    """A pipe from the run to the worker. The run may open its end anew by name (/dev/fd/7), so it has to own it."""

    def __init__(self, owner: int | None) -> None:
        self.ours, self.theirs = os.pipe()
        os.set_blocking(self.ours, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.theirs, fcntl.F_SETPIPE_SZ, 2**18)
        if owner is not None:
            os.fchown(self.theirs, owner, owner)

    def close_theirs(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        os.close(self.ours)


class Bounded:
    """Bytes up to a limit, and none of them beyond it."""

    def __init__(self, most: int) -> None:
        self._most, self._content = most, bytearray()
        self.too_much = False

    def write(self, piece: bytes) -> None:
        self.too_much = self.too_much or len(self._content) + len(piece) > self._most
        if self.too_much:
            self._content.clear()
        else:
            self._content += piece

    @property
    def content(self) -> bytes | None:
        return None if self.too_much else bytes(self._content)


def read_piece(descriptor: int) -> bytes:
    """Return what is there; nothing at the end."""
    try:
        return os.read(descriptor, PIECE)
    except BlockingIOError:
        return b""


def drain(readers: Mapping[int, Callable[[bytes], None]]) -> None:
    """Read what is left in the pipes. Nobody should write any more; a survivor of the weakest mode gets one second."""
    until = time.monotonic() + 1
    for descriptor, reader in readers.items():
        while (piece := read_piece(descriptor)) and time.monotonic() < until:
            reader(piece)
