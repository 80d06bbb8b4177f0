"""The bytes of a file at one moment: what is put into a run, and what its worker runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """A file as it is now. `path` is below the root, with "/"."""

    root: str
    path: str
    content: bytes
    comes_along: bool = False  # not chosen: a helper, conftest.py or data beside a test that was (support_files.py)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def files_key(files: Iterable[Snapshot], selection: Iterable[str] = ()) -> str:
    """Return the digest that is the same for runs of the same files (and the same of their tests), whatever is in them.

    Durations are compared under it: an edited test takes about as long as it did.
    """
    lines = [*sorted(f"{file.root}/{file.path}" for file in files if not file.comes_along), "", *sorted(selection)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
