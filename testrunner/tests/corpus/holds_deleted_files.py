"""Keeps deleted files on disk open."""

import os
import time


def test_it():
    held = []
    for number in range(6):
        held.append(os.open(f"held-{number}", os.O_RDWR | os.O_CREAT))
        os.unlink(f"held-{number}")
        for _ in range(128):
            os.write(held[-1], bytes(2**20))
    print("held", flush=True)
    time.sleep(60)
