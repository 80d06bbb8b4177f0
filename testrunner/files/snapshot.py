"""Snapshot of a file's bytes at one moment. A run stores it, and its worker runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """A file as it is now. `path` is relative to the root, with "/"."""

    root: str
    path: str
    content: bytes
    comes_along: bool = False  # a support file (helper, conftest.py, data) beside a chosen test: support_files.py

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def files_key(files: Iterable[Snapshot], selection: Iterable[str] = ()) -> str:
    """Return a digest that is equal for runs of the same files and the same selection of tests, whatever the contents.

    It is the key for comparing durations: an edited test takes about as long as before.
    """
    lines = [*sorted(f"{file.root}/{file.path}" for file in files if not file.comes_along), "", *sorted(selection)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
