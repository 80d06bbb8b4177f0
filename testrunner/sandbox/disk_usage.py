"""Disk usage of a run where no file system of its own limits it, and removal of its files at its end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from testrunner.sandbox.isolation import Mode, RunLimits
from testrunner.sandbox.linux.leftovers import SHARED, files_of, remove_all_of, remove_entries
from testrunner.sandbox.linux.resource_usage import SystemVObject, system_v

MEMORY = ("/dev/shm",)  # noqa: S108 - a run of the worker's own user may write there, too


class DiskUsage:
    """Tracks what a run writes to its directory and to the directories that all users share.

    If the run has a user of its own, its files are those of that user. Otherwise they are the files and System V
    entries of the worker's user that are new since the run's start, in /dev/shm only. At the end only those that no
    process uses are removed.
    """

    def __init__(self, directory: Path, mode: Mode, user: int) -> None:
        self.directory, self.own_user = directory, mode.change_user
        self.user = user if mode.change_user else os.geteuid()
        self.shared = SHARED if mode.change_user else MEMORY
        self.files_before = set() if mode.change_user else {path for path, _ in self._all()}
        self.entries_before = set() if mode.change_user else {entry for entry, _ in self._all_entries()}

    def exceeds(self, limits: RunLimits) -> bool:
        return uses_more_than([str(self.directory), *self.outside()], limits)

    def outside(self) -> list[str]:
        """Return the run's files outside its directory, outermost only."""
        return [path for path, _ in self._all() if path not in self.files_before]

    def clean_up(self) -> None:
        """Remove the run's files outside its directory. Called when no process of the run is alive any more."""
        if self.own_user:
            remove_all_of(self.user, but=str(self.directory))
            return
        used = set(_paths_in_use())
        for path in self.outside():
            if path not in used:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        new = [entry for key, entry in self._all_entries() if key not in self.entries_before]
        remove_entries([entry for entry in new if entry.kind == "shm" and not entry.attached])

    def _all(self) -> Iterator[tuple[str, os.stat_result]]:
        return files_of(self.user, self.shared, but=str(self.directory))

    def _all_entries(self) -> Iterator[tuple[tuple[str, int], SystemVObject]]:
        for entry in system_v():
            if self.user in entry.owners:
                yield (entry.kind, entry.id), entry


def uses_more_than(places: Iterable[str], limits: RunLimits) -> bool:
    """Return whether a run has written more than its limits allow. For the modes whose file system is shared.

    Files nested so deeply that no path reaches them cannot be measured, and count as too much.
    """
    room, names, waiting = limits.disk_bytes, limits.files, []
    for place in places:
        if os.path.isdir(place) and not os.path.islink(place):
            waiting.append(place)
        else:
            room, names = room - _bytes_of(place), names - 1
    while waiting and room >= 0 and names >= 0:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    names -= 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        room -= _bytes_of(entry.path)
        except OSError as error:  # usually the directory was removed meanwhile
            if error.errno == errno.ENAMETOOLONG:
                return True
    return room < 0 or names < 0


def _bytes_of(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_blocks * 512
    return 0


def _paths_in_use() -> Iterator[str]:
    """Yield the paths that processes have open or mapped, as far as this user may see them."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    yield os.readlink(descriptor)
        with contextlib.suppress(OSError):
            for line in (process / "maps").read_text().splitlines():
                if "/dev/shm/" in line:  # noqa: S108
                    yield line.split(maxsplit=5)[-1]
