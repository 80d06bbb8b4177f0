"""Tries to create and enter user namespaces in every possible way."""

import ctypes
import os
import platform
import struct
import subprocess
import threading

NEWUSER, NEWNS = 0x10000000, 0x00020000
libc = ctypes.CDLL(None, use_errno=True)
CLONE = {"x86_64": 56}.get(platform.machine(), 220)


def test_unshare():
    for flags in (NEWUSER, NEWUSER | NEWNS, NEWUSER | 0x40000000 | 0x20000000):
        assert libc.unshare(flags) == -1


def test_unshare_with_bits_above():
    assert libc.syscall(ctypes.c_long(272 if CLONE == 56 else 97), ctypes.c_long(NEWUSER | 1 << 40)) == -1


def test_clone():
    assert libc.syscall(ctypes.c_long(CLONE), ctypes.c_long(NEWUSER | 17), 0, 0, 0, 0) == -1


def test_clone3():
    arguments = ctypes.create_string_buffer(struct.pack("=8Q", NEWUSER, 0, 0, 0, 17, 0, 0, 0), 88)
    assert libc.syscall(ctypes.c_long(435), arguments, ctypes.c_long(88)) == -1


def test_setns():
    assert libc.setns(os.open("/proc/self/ns/user", os.O_RDONLY), 0) == -1


def test_ordinary_processes_and_threads():
    assert subprocess.run(["/bin/true"]).returncode == 0
    heard = []
    thread = threading.Thread(target=heard.append, args=[1])
    thread.start()
    thread.join()
    assert heard == [1]
