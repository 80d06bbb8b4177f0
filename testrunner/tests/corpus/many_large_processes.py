"""Starts eight processes of 200 MB each; each process is within its own limit."""

import os
import time


def test_it():
    for _ in range(8):
        if os.fork() == 0:
            kept = bytearray(b"x") * 200_000_000
            time.sleep(600)
            os._exit(len(kept) % 2)
    time.sleep(600)
