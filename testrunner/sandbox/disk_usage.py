"""What a run has written where no file system of its own bounds it, and what of it has to be removed at its end."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from testrunner.sandbox.isolation import Mode, RunLimits
from testrunner.sandbox.walls.held import SystemVObject, system_v
from testrunner.sandbox.walls.leftovers import SHARED, files_of, remove_all_of, remove_entries

MEMORY = ("/dev/shm",)  # noqa: S108 - where a run of the worker's own user may write, too


class Written:
    """A run's directory, and its files in the directories that all users share.

    A user of its own tells them from others'. Without one, they are what is new since the run's start in /dev/shm and
    of the worker's user; at the end of the run only what no process uses is removed.
    """

    def __init__(self, directory: Path, mode: Mode, user: int) -> None:
        self.directory, self.own_user = directory, mode.change_user
        self.user = user if mode.change_user else os.geteuid()
        self.shared = SHARED if mode.change_user else MEMORY
        self.files_before = set() if mode.change_user else {path for path, _ in self._all()}
        self.entries_before = set() if mode.change_user else {entry for entry, _ in self._all_entries()}

    def is_too_much(self, limits: RunLimits) -> bool:
        return uses_more_than([str(self.directory), *self.outside()], limits)

    def outside(self) -> list[str]:
        """The run's files outside of its directory, outermost only."""
        return [path for path, _ in self._all() if path not in self.files_before]

    def clean_up(self) -> None:
        """Remove what is outside of the directory. No process of the run is alive any more."""
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
    """Return whether a run has written more than it may, for the modes whose file system is shared.

    What lies so deep that no path leads there cannot be measured, and is more than it may.
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
        except OSError as error:  # most often it is gone
            if error.errno == errno.ENAMETOOLONG:
                return True
    return room < 0 or names < 0


def _bytes_of(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_blocks * 512
    return 0


def _paths_in_use() -> Iterator[str]:
    """Yield what processes have open or mapped, as far as this user may see."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    yield os.readlink(descriptor)
        with contextlib.suppress(OSError):
            for line in (process / "maps").read_text().splitlines():
                if "/dev/shm/" in line:  # noqa: S108
                    yield line.split(maxsplit=5)[-1]
