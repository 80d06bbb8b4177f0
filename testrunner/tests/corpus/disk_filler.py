"""Fills whatever it can write to."""

import itertools
import tempfile


def test_it():
    for number in itertools.count():
        with open(f"{tempfile.gettempdir()}/filler-{number}", "wb") as file:
            for _ in range(16):
                file.write(b"x" * 2**20)
