"""Measurement of what a run holds besides its files: resident memory, unnamed files, System V objects.

Reads /proc for the processes of a run. If the files of one process may not be read, the whole measurement is unknown.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PAGE = resource.getpagesize()
SEMAPHORE = 64  # bytes of kernel memory
# For each System V table: the columns of the id, the owner and the creator.
TABLES = {"shm": (1, 7, 9), "msg": (1, 7, 9), "sem": (1, 4, 6)}


class UsageUnknown(Exception):
    """A process of the run could not be measured."""


class ResourceUsage(NamedTuple):
    """Bytes of memory, and bytes of deleted files that are still open."""

    memory: int = 0
    deleted_files: int = 0


class SystemVObject(NamedTuple):
    """A System V shared memory segment, message queue or set of semaphores."""

    kind: str
    id: int
    owners: frozenset[int]
    bytes: int
    attached: int  # number of attached processes


def usage_of(processes: Iterable[int], entries: Iterable[SystemVObject], largest_file: int) -> ResourceUsage:
    """Return what these processes and System V objects hold.

    Shared resident pages are counted once for each process. A file in flight (sent through a socket and not yet
    received) is in no table of a process, so each one counts as the largest file that a run may have.
    """
    memory, deleted_files = sum(entry.bytes for entry in entries), 0
    seen: set[tuple[int, int]] = set()
    for place in filter(None, map(_place_of, processes)):
        memory += _resident(place)
        for link, path in _files_of(place):
            if link.startswith("socket:"):
                memory += _in_flight(place, path) * largest_file
            elif link.startswith("/memfd:") or link.endswith(" (deleted)"):
                size = _size_of(path, seen)
                if link.startswith("/memfd:"):
                    memory += size
                else:
                    deleted_files += size
    return ResourceUsage(memory, deleted_files)


def _place_of(process: int) -> str | None:
    """Return the /proc directory of a process, or of its first living thread; None if the process is exiting or gone.

    An exiting process has no memory any more, but only root may read its files. The first thread may have ended long
    before the others.
    """
    if _resident(place := f"/proc/{process}"):
        return place
    with contextlib.suppress(OSError):
        threads = [f"{place}/task/{thread}" for thread in os.listdir(f"{place}/task")]
        return next(filter(_resident, threads), None)
    return None


def _resident(place: str) -> int:
    """Return the bytes of memory that a process occupies, including shared pages."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"{place}/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE
    return 0


def _files_of(place: str) -> Iterator[tuple[str, str]]:
    """Yield the target of each descriptor of a process, and the path of the descriptor in /proc."""
    try:
        names = os.listdir(f"{place}/fd")
    except OSError as error:
        _check_that_it_ended(place, error)
        return
    for name in names:
        path = f"{place}/fd/{name}"
        try:
            link = os.readlink(path)
        except FileNotFoundError:
            continue  # it was closed meanwhile
        except OSError as error:  # root without CAP_SYS_PTRACE may list the descriptors but not read them
            _check_that_it_ended(place, error)
            return
        yield link, path


def _check_that_it_ended(place: str, error: OSError) -> None:
    """Raise Unknown if the files of a living process may not be read."""
    if isinstance(error, PermissionError) and _resident(place):
        raise UsageUnknown(place) from error


def _size_of(path: str, seen: set[tuple[int, int]]) -> int:
    """Return the bytes that a file occupies; zero if it is in `seen` already, because several processes may have it
    open.
    """
    try:
        about = os.stat(path)
    except OSError:
        return 0
    if (key := (about.st_dev, about.st_ino)) in seen:
        return 0
    seen.add(key)
    return about.st_blocks * 512


def _in_flight(place: str, path: str) -> int:
    number = path.rpartition("/")[2]
    with contextlib.suppress(OSError, ValueError), open(f"{place}/fdinfo/{number}") as file:
        for line in file:
            if line.startswith("scm_fds:"):
                return int(line.split()[1])
    return 0


def system_v() -> Iterator[SystemVObject]:
    """Yield all entries of the System V tables of this namespace."""
    for kind, (number, owner, creator) in TABLES.items():
        with contextlib.suppress(OSError), open(f"/proc/sysvipc/{kind}") as file:
            next(file, None)
            for line in file:
                row = [int(word) if word.lstrip("-").isdigit() else 0 for word in line.split()]
                yield SystemVObject(
                    kind, row[number], frozenset({row[owner], row[creator]}), *_size_and_users(kind, row)
                )


def _size_and_users(kind: str, row: list[int]) -> tuple[int, int]:
    if kind == "shm":  # allocated pages only, in memory or swapped out
        return row[14] + row[15], row[6]
    return (row[3], 0) if kind == "msg" else (row[3] * SEMAPHORE, 0)
