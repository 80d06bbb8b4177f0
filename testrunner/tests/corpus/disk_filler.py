"""Fills all writable file systems, slowly enough that the limit applies before a small disk is full."""

import itertools
import tempfile
import time


def test_it():
    for number in itertools.count():
        with open(f"{tempfile.gettempdir()}/filler-{number}", "wb") as file:
            for _ in range(16):
                file.write(b"x" * 2**20)
        time.sleep(0.1)
