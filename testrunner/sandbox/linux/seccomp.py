"""Seccomp filter against system calls that would escape the run's limits or leave objects behind.

- User namespaces: in one of its own a test could mount file systems in memory. `clone3` takes its flags from memory,
  where no filter can read them. So the filter reports it as missing, and the C library falls back to `clone`.
- System V queues and semaphores, for a run of the worker's own user without an IPC namespace: at its end they could not
  be distinguished from those of other programs. Shared memory stays allowed, because it lists who is attached, and
  PostgreSQL needs it.
- io_uring, because its queues are kernel memory and its operations pass no filter.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from testrunner.sandbox.linux.system_calls import PR_SET_SECCOMP, call, libc

CLONE_NEWUSER = 0x10000000
FILTER = 2  # SECCOMP_MODE_FILTER
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # REFUSE carries an error number in its lowest 16 bits
LOAD, EQUAL, AT_LEAST, HAS_BITS, ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06  # operations of classic BPF
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in the data that the filter sees
X32 = 0x40000000  # bit of the calls of the x32 interface, on x86_64
CLONE3, IO_URING_SETUP = 435, 425  # the same on every architecture
# By architecture: the number of its kernel interface, and of its calls clone, unshare, setns, semget, msgget.
MACHINES = {
    "x86_64": (0xC000003E, 56, 272, 308, 64, 68),
    "aarch64": (0xC00000B7, 220, 97, 268, 190, 186),
    "riscv64": (0xC00000F3, 220, 97, 268, 190, 186),
}
LIMIT = "/proc/sys/user/max_user_namespaces"


def install_filter(*, forbid_queues: bool) -> None:
    """Forbid user namespaces, and with `forbid_queues` System V queues and semaphores, to this process and its future
    children.

    The process must have set no_new_privs before. Raises OSError if no filter is known for this architecture or the
    kernel refuses it. No error is raised for an unknown architecture whose kernel has no user namespaces.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        if _has_none():
            return
        raise OSError(errno.ENOSYS, f"no filter against user namespaces is known for {machine}")
    steps = _program(*MACHINES[machine], forbid_queues=forbid_queues)
    code = ctypes.create_string_buffer(b"".join(steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    call(libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0), "prctl seccomp")


def _has_none() -> bool:
    try:
        with open(LIMIT) as file:
            return file.read().strip() == "0"
    except OSError:
        return not os.path.exists("/proc/self/ns/user")


def _program(
    interface: int, clone: int, unshare: int, setns: int, semget: int, msgget: int, *, forbid_queues: bool
) -> list[bytes]:
    """Return the filter's instructions. Every call of another interface (32 bits, x32) is refused."""
    missing = {CLONE3, IO_URING_SETUP, *([semget, msgget] if forbid_queues else [])}
    tests = [
        *((EQUAL, number, errno.ENOSYS) for number in sorted(missing)),
        (AT_LEAST, X32, errno.EPERM),
        (EQUAL, setns, errno.EPERM),
    ]
    return [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, interface, 1, 0),
        _step(ANSWER, REFUSE | errno.EPERM),
        _step(LOAD, NUMBER),
        *(step for code, value, error in tests for step in (_step(code, value, 0, 1), _step(ANSWER, REFUSE | error))),
        _step(EQUAL, clone, 2, 0),
        _step(EQUAL, unshare, 1, 0),
        _step(ANSWER, ALLOW),
        _step(LOAD, FIRST_ARGUMENT),
        _step(HAS_BITS, CLONE_NEWUSER, 0, 1),
        _step(ANSWER, REFUSE | errno.EPERM),
        _step(ANSWER, ALLOW),
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
