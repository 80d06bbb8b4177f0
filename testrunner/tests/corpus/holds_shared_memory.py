"""Holds memory in System V segments to which no process is attached."""

import ctypes
import time

SIZE = 128 * 2**20
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]


def test_it():
    for _ in range(6):
        segment = libc.shmget(0, SIZE, 0o1600)
        assert segment >= 0, ctypes.get_errno()
        place = libc.shmat(segment, None, 0)
        ctypes.memset(place, 1, SIZE)
        libc.shmdt(place)
    print("held", flush=True)
    time.sleep(60)
