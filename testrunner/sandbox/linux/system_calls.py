"""Linux system calls through ctypes. Like the whole package it uses only the standard library: the supervisor imports
it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 36, 38, 22

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, name: str) -> int:
    """Return the result of a system call. Raises OSError with the call's name if it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {errno.errorcode.get(code, code)} {os.strerror(code)}")
    return result


def prctl(option: int, value: int) -> None:
    if LINUX:
        call(libc.prctl(option, value, 0, 0, 0), f"prctl {option}")
