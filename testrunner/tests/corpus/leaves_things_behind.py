"""Leaves files in all world-writable directories, and entries in System V's tables."""

import ctypes
import errno
import os
from pathlib import Path

NAME = "opsroom-left-behind"
libc = ctypes.CDLL(None, use_errno=True)


def test_it():
    for top in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/run", "/dev/mqueue", "/"):
        try:
            Path(top, NAME).write_bytes(bytes(2**20))
            print("written:", top)
        except OSError as error:
            print("refused:", top, error)
        try:
            Path(top, f"{NAME}-directory", "deep").mkdir(parents=True)
            Path(top, f"{NAME}-directory", "deep", "file").write_text("x")
        except OSError:
            pass
    print("segment:", libc.shmget(0, 4096, 0o1600))
    print("queue:", libc.msgget(0, 0o1600))
    print("semaphores:", libc.semget(0, 3, 0o1600))
    print("POSIX queue:", libc.mq_open(f"/{NAME}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None))
    print("user:", os.geteuid())


def test_io_uring_seems_not_to_exist():
    assert libc.syscall(425, 4, ctypes.create_string_buffer(256)) == -1  # io_uring_setup
    assert ctypes.get_errno() == errno.ENOSYS


def test_multiprocessing_works():
    import multiprocessing

    lock = multiprocessing.get_context("spawn").Lock()
    with lock:
        pass
