"""Landlock rules that let a run write only below its own directory. Used where there are no namespaces.

`/dev/shm` stays open for files, because POSIX semaphores and shared memory, and so multiprocessing, use it. The run's
files there are counted (disk_usage.py) and removed at its end (leftovers.py).

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct

from testrunner.sandbox.linux.system_calls import LINUX, call, libc

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION, PATH_BENEATH = 1, 1
WRITE_FILE, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG = (1 << bit for bit in (1, 4, 5, 6, 7, 8))
MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE = (1 << bit for bit in range(9, 15))
MAKES = MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM
WRITES = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKES
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts")


def write_only_below(directory: str) -> bool:
    """Restrict this process and its future children; return whether this kernel supports it."""
    version = libc.syscall(CREATE_RULESET, None, 0, VERSION) if LINUX else -1
    if version < 1:
        return False  # a kernel before 5.13, or one built without Landlock
    handled = WRITES | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    rules = ctypes.create_string_buffer(struct.pack("=Q", handled), 8)
    ruleset = call(libc.syscall(CREATE_RULESET, rules, 8, 0), "landlock_create_ruleset")
    try:
        _allow(ruleset, directory, handled)
        _allow(ruleset, "/dev/shm", handled & (WRITE_FILE | REMOVE_FILE | MAKE_REG | TRUNCATE))  # noqa: S108
        for name in DEVICES:
            _allow(ruleset, f"/dev/{name}", handled & (WRITE_FILE | TRUNCATE))
        call(libc.syscall(RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a missing path needs no rule
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place), 12)
        call(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0), f"landlock_add_rule {path}")
    finally:
        os.close(place)
