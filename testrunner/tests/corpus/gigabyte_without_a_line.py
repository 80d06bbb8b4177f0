"""Writes a quarter of a gigabyte without a newline."""

import os


def test_it():
    piece = b"x" * 2**20
    for _ in range(256):
        left = memoryview(piece)
        while left:
            left = left[os.write(1, left) :]
