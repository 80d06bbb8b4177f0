"""Fills /dev/shm, slowly enough that the limit applies before it is full."""

import itertools
import time


def test_it():
    for number in itertools.count():
        with open(f"/dev/shm/opsroom-filler-{number}", "wb") as file:
            file.write(b"x" * 2**23)
        time.sleep(0.1)
