"""Removal of what a run's own user left outside its directory, where there are no namespaces: files, System V objects.

Called when no process of the user is alive any more. Searches the world-writable directories. A directory of another
user is entered only if it is world-writable, too. Links are not followed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterator

from testrunner.sandbox.linux.processes import run_as
from testrunner.sandbox.linux.resource_usage import SystemVObject, system_v
from testrunner.sandbox.linux.system_calls import LINUX, libc

SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/run/shm", "/dev/mqueue")  # noqa: S108
MAX_DEPTH = 4  # levels of nested directories of other users
REMOVE = 0  # IPC_RMID


def files_of(user: int, tops: tuple[str, ...] = SHARED, *, but: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield the paths of this user in the shared directories, outermost only.

    `but` is left out; directories above it are not yielded unless they belong to this user.
    """
    waiting = [(top, 0) for top in tops]
    while waiting:
        place, depth = waiting.pop()
        with contextlib.suppress(OSError):
            for entry in os.scandir(place):
                with contextlib.suppress(OSError):
                    about = entry.stat(follow_symlinks=False)
                    if entry.path == but:
                        continue
                    if about.st_uid == user:
                        yield entry.path, about
                    elif stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_IWOTH and depth < MAX_DEPTH:
                        waiting.append((entry.path, depth + 1))


def remove_all_of(user: int, *, but: str = "") -> None:
    """Remove everything that this user left behind, except `but`. Needs to be root or this user."""
    for path, about in list(files_of(user, but=but)):
        if stat.S_ISDIR(about.st_mode):
            remove_directory(path)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
    if entries := [entry for entry in system_v() if user in entry.owners]:
        run_as(user, lambda: remove_entries(entries))  # as their owner: root without CAP_SYS_ADMIN may not


def remove_entries(entries: list[SystemVObject]) -> None:
    calls = {"shm": "shmctl", "msg": "msgctl", "sem": "semctl"}
    for entry in entries if LINUX else []:
        where = (entry.id, 0) if entry.kind == "sem" else (entry.id,)
        getattr(libc, calls[entry.kind])(*where, REMOVE, ctypes.c_void_p(0))


# --- directories ----------------------------------------------------------------------------------


def remove_directory(directory: str) -> None:
    """Remove a directory without following links. No process of the run is left that could place a link in the way."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # with namespaces it is only an empty mount point
        return
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(directory)


def _empty(top: int) -> None:
    """Empty an open directory. Deeper directories are first moved up to the top, so any depth can be removed.

    It is limited neither by recursion nor by the length of a path. Stops when a pass changes nothing, so entries that
    cannot be removed stay.
    """
    moved, before = 0, set[str]()
    while (names := set(os.listdir(top))) != before:
        before = names
        for name in names:
            with contextlib.suppress(OSError):
                if not _enter(name, top):
                    os.unlink(name, dir_fd=top)
                    continue
                inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                try:
                    for deeper in os.listdir(inside):
                        if _enter(deeper, inside):
                            moved += 1
                            os.rename(deeper, f"moved-{moved}", src_dir_fd=inside, dst_dir_fd=top)
                        else:
                            os.unlink(deeper, dir_fd=inside)
                finally:
                    os.close(inside)
                os.rmdir(name, dir_fd=top)


def _enter(name: str, where: int) -> bool:
    """Return whether this is a directory, and make it readable: tests create some that their owner may not read."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=where, follow_symlinks=False).st_mode):
        return False
    os.chmod(name, 0o700, dir_fd=where)
    return True
