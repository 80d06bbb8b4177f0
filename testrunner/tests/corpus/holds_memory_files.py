"""Holds memory in unnamed files (memfd) that no process has mapped."""

import os
import time


def test_it():
    held = []
    for number in range(6):
        held.append(os.memfd_create(f"held-{number}"))
        for _ in range(128):
            os.write(held[-1], bytes(2**20))
    print("held", flush=True)
    time.sleep(60)
