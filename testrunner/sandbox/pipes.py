"""Pipes that carry a run's output to the worker. They are read without blocking; end of file is never waited for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Mapping

READ_SIZE = 64 * 2**10


class Pipe:
    """A pipe from the run to the worker. The run's user owns its end, because the run may reopen it by name
    (/dev/fd/7).
    """

    def __init__(self, owner: int | None) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 2**18)
        if owner is not None:
            os.fchown(self.write_end, owner, owner)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_write_end()
        os.close(self.read_end)


class BoundedBuffer:
    """Buffer with a size limit. Once more bytes arrive than fit, it is emptied and stays empty."""

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
    """Return the available bytes; empty at end of file, or if nothing has arrived yet."""
    try:
        return os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return b""


def drain(readers: Mapping[int, Callable[[bytes], None]]) -> None:
    """Read the rest of the pipes. A process that survived in the weakest mode gets at most one second."""
    until = time.monotonic() + 1
    for descriptor, reader in readers.items():
        while (piece := read_piece(descriptor)) and time.monotonic() < until:
            reader(piece)
