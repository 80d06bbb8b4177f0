"""Fills the directory that is memory, not so fast that it is full before anybody looks."""

import itertools
import time


def test_it():
    for number in itertools.count():
        with open(f"/dev/shm/opsroom-filler-{number}", "wb") as file:
            file.write(b"x" * 2**23)
        time.sleep(0.1)
